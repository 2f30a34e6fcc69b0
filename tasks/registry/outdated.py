"""Whether the controller's state is older than what the registry host has. `make adopt` skips that check."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tasks.certificates import ca
from tasks.registry.ownership import leaf_of
from tasks.registry.plan import RegistryHost
from tasks.remote.steps import Conflict
from tasks.state import changes
from tasks.state.store import State


def check(state: State, folder: Path, found: RegistryHost, now: dt.datetime) -> None:
    """Raise `Conflict` if the state in `folder` is an older copy of the one that the registry host was served with."""
    if older := find(state, found, now):
        raise Conflict(
            f"{folder} is an older copy: {older}",
            "bring the newest copy here, from the controller that made that change; or, if it is lost, run "
            "make adopt, which takes the registry over with this copy and gives every account a new password",
        )


def find(state: State, found: RegistryHost, now: dt.datetime) -> str | None:
    """Return what the registry host has that `state` does not know of, since it is older; None if it is not.

    A certificate from the future says nothing: it was made while the clock was ahead.
    """
    if found.change and found.change not in map(str, state.changes):
        own = state.changes[-1].described if state.changes else "none"
        return f"the registry's passwords are of change {_described(found.change)}, and its own last one is {own}"
    for leaf in leaf_of(found.installed):
        present = state.leaf.certificate if state.leaf else leaf
        if present.not_valid_before_utc < leaf.not_valid_before_utc <= now:
            made = leaf.not_valid_before_utc + ca.BACKDATE
            return f"the registry's certificate is of {made:%Y-%m-%d %H:%M} UTC, newer than its own"
    return None


def _described(change: str) -> str:
    try:
        return changes.parse(change).described
    except ValueError:
        return "unknown"
