"""Keys that are nearly a setting's: what their user meant."""

from __future__ import annotations

import difflib

from tasks.settings.groups import PREFIX
from tasks.settings.schema import HostSettings, RunWideKeys

KEYS = (*RunWideKeys.model_fields, *HostSettings.model_fields)
LIKE = 0.9
"""How alike a key of any name and a setting are if it is a slip: `regsitry_port` is 0.92."""


def meant_by(key: str) -> str | None:
    """Return the setting that is most like an unknown key with our prefix, without which all would be alike."""
    near = difflib.get_close_matches(
        key.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in KEYS], 1
    )
    return PREFIX + near[0] if near else None


def misspelt(key: str, *, in_own_file: bool) -> str | None:
    """Return the setting that a key without our prefix is a slip for; users have keys of their own for other deploys.

    In the inventory's own file of group data the prefix may be what is missing. Single words but one are too common.
    """
    if in_own_file and PREFIX + key in KEYS and ("_" in key or key == "hostname"):
        return PREFIX + key
    return next(iter(difflib.get_close_matches(key.lower(), KEYS, 1, LIKE)), None)
