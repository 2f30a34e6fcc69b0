"""Whether the clock is behind the state, by what the files say; and what becomes of moments in the future."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.accounts.passwords import FormerPassword
from tasks.certificates import ca, rollover
from tasks.state import clock
from tasks.state.files import StateError
from tasks.state.store import State

MADE = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
CA = ca.make_authority(NAMES, 3650, MADE)
SUCCESSOR = rollover.make_successor(CA, NAMES, 3650, MADE)
OLDER = ca.make_authority(NAMES, 3650, MADE - dt.timedelta(days=400))


def at(days: float) -> dt.datetime:
    return MADE + dt.timedelta(days=days)


HOUR = 1 / 24
STATES = {
    f"authorities/{CA.fingerprint[:16]}/ca.crt": State(authority=CA),
    f"authorities/{SUCCESSOR.ca.fingerprint[:16]}/ca.crt": State(authority=OLDER, successor=SUCCESSOR),
    "leaf.pem": State(authority=OLDER, leaf=ca.make_leaf(OLDER, NAMES, 397, MADE)),
    "former.json": State(authority=OLDER, former={"ci": FormerPassword("h", MADE)}),
}


@pytest.mark.parametrize("name", STATES, ids=["CA", "successor", "leaf", "former password"])
def test_a_clock_before_what_the_state_says_stops_the_run(name: str) -> None:
    for days in (-30, -20 * 365, -1.1 * HOUR):
        with pytest.raises(StateError) as stop:
            clock.check(STATES[name], Path("state/x"), None, at(days))
        assert stop.value.problem == (
            f"this machine's clock says {at(days):%Y-%m-%d %H:%M} UTC, but state/x/{name} is from 2026-03-01 12:00 UTC"
        )
        assert "timedatectl set-ntp true" in stop.value.remedy
        assert f"run make deploy DATA=registry_today={at(days):%Y-%m-%d}" in stop.value.remedy
    for days in (-0.9 * HOUR, 0, 5000):
        clock.check(STATES[name], Path("state/x"), None, at(days))
    clock.check(State(), Path("state/x"), None, at(-20 * 365))


@pytest.mark.parametrize(
    ("told", "good"),
    [
        ("2026-01-30", True),
        ("2026-01-29", True),
        ("2026-01-31", True),
        ("2026-02-01", False),
        ("2026-03-01", False),
    ],
)
def test_a_person_may_say_that_the_clock_is_right(told: str, good: bool) -> None:
    now = at(-30)
    if good:
        clock.check(STATES["leaf.pem"], Path("state/x"), told, now)
        return
    with pytest.raises(
        StateError, match=f"registry_today is {told}, but this machine's clock says 2026-01-30"
    ):
        clock.check(STATES["leaf.pem"], Path("state/x"), told, now)


def test_moments_in_the_future_become_now_and_others_stay() -> None:
    past = FormerPassword("old", at(-40), ("nas",), at(-39))
    state = State(
        former={"ci": FormerPassword("h", MADE, ("nas",), MADE), "admin": past},
        successor=replace(SUCCESSOR, issuing_since=MADE.date()),
    )
    found = clock.corrected(state, at(-30))
    assert found.former == {"ci": FormerPassword("h", at(-30), ("nas",), at(-30)), "admin": past}
    assert found.successor == replace(SUCCESSOR, issuing_since=at(-30).date())
    assert clock.corrected(state, at(1)) == state
