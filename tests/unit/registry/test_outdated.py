"""Whether a state is older than the registry host. tests/fleet/test_state_lost.py shows it on a host."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tasks.certificates import ca
from tasks.registry import leaf, outdated
from tasks.registry.desired import FOLDER
from tasks.registry.plan import RegistryHost
from tasks.remote.steps import Conflict
from tasks.state import changes
from tasks.state.store import State

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
CA = ca.make_authority(NAMES, 3650, NOW - dt.timedelta(days=300))
OLD, NEW = (ca.make_leaf(CA, NAMES, 397, NOW - dt.timedelta(days=days)) for days in (300, 10))
FUTURE = ca.make_leaf(CA, NAMES, 397, NOW + dt.timedelta(days=30))
FIRST = changes.add((), "", NOW - dt.timedelta(days=300))
SECOND = changes.add(FIRST, "", NOW - dt.timedelta(days=10))
FORKED = changes.add(FIRST, "", NOW - dt.timedelta(days=9))


def host(change: str = "", installed: str = "") -> RegistryHost:
    return RegistryHost(paths={f"{FOLDER}/{leaf.LINK}": None}, change=change, installed=installed)


@pytest.mark.parametrize(
    ("state", "found", "older"),
    [
        (State(authority=CA, changes=SECOND), host(str(SECOND[-1])), None),
        (State(authority=CA, changes=SECOND), host(str(FIRST[-1])), None),  # killed before the host had it
        (State(authority=CA, changes=SECOND), host(), None),  # from before there was a history
        (State(authority=CA), host(), None),
        (
            State(authority=CA, changes=FIRST),
            host(str(SECOND[-1])),
            "passwords are of change number 2, of 2026-02-19 12:00 UTC, and its own last one is number 1, of 2025-05-05",
        ),
        (State(authority=CA), host(str(FIRST[-1])), "and its own last one is none"),
        (State(authority=CA, changes=FORKED), host(str(SECOND[-1])), "change number 2, of 2026-02-19"),
        (State(authority=CA, changes=SECOND), host("nonsense"), "of change unknown"),
        (State(authority=CA, leaf=NEW), host(installed=OLD.certificate_pem), None),
        (State(authority=CA, leaf=NEW), host(installed=NEW.certificate_pem), None),
        (
            State(authority=CA),
            host(installed=NEW.certificate_pem),
            None,
        ),  # leaf.pem was removed, as a message says
        (State(authority=CA, leaf=NEW), host(installed=FUTURE.certificate_pem), None),
        (State(authority=CA, leaf=NEW), host(installed="damaged"), None),
        (
            State(authority=CA, leaf=OLD),
            host(installed=NEW.certificate_pem),
            "the registry's certificate is of 2026-02-19 12:00 UTC, newer than its own",
        ),
    ],
)
def test_an_older_copy_of_the_state_is_refused(state: State, found: RegistryHost, older: str | None) -> None:
    if older is None:
        outdated.check(state, Path("state/x"), found, NOW)
        return
    with pytest.raises(Conflict) as stop:
        outdated.check(state, Path("state/x"), found, NOW)
    assert stop.value.problem.startswith("state/x is an older copy: the registry's")
    assert older in stop.value.problem
    assert "make adopt" in stop.value.remedy
