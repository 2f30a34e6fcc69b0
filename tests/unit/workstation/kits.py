"""Kits as tests need them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tasks.certificates import ca
from tasks.certificates.rollover import Successor
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tasks.state.store import State
from tasks.workstation import kit

NAME = "registry.homelab.local"
NOW = dt.datetime.now(dt.UTC)
OLD, NEW = (ca.make_authority([NAME], 3650, NOW) for _ in range(2))
TEMPLATES = str(ROOT / "templates")
CACHES = {"registry_caches": ["docker.io", "ghcr.io"]}
HOSTILE = {
    "registry_port": 5443,
    "registry_extra_names": ["fd00::10", "10.0.0.7", "nas.homelab.local"],
    "registry_accounts": {"only.one": "pull"},
    "registry_login_account": "only.one",
    "registry_pull_secret_account": "only.one",
    **CACHES,
}
"""Settings with everything that is written differently."""

SERVED: dict[str, dict[str, Any]] = {
    "plain": {},
    "caches": CACHES,
    "hostile": HOSTILE,
    "address of IPv6": {"registry_address": "fd00::10", "registry_port": 65535},
}


def state(*names: str, successor: Successor | None = None) -> State:
    """Return a state whose leaf has these names, NAME first."""
    return State(authority=OLD, leaf=ca.make_leaf(OLD, [NAME, *names], 30, NOW), successor=successor)


def served(**settings: Any) -> kit.Kit:
    """Return the kit of a registry whose certificate has all names of these settings, at 192.168.1.10 unless they say."""
    checked = Settings(**settings)
    names = [*checked.registry_extra_names, checked.registry_address or "192.168.1.10"]
    return kit.kit(
        checked,
        state(*dict.fromkeys(names), *(["mirror.homelab.local"] if checked.registry_caches else [])),
        NOW,
    )


def texts(name: str) -> dict[str, str]:
    """Return the files of one of `SERVED`."""
    return kit.texts(served(**SERVED[name]), TEMPLATES)
