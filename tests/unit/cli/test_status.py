"""`make status`: what it says of the state, the timer and a plan, and its exit code."""

from __future__ import annotations

import datetime as dt
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.accounts.passwords import FormerPassword
from tasks.backup.generations import FORM, Backup
from tasks.certificates import ca
from tasks.cli import status
from tasks.settings.load import Configuration, Settings
from tasks.state.store import State, Store
from tasks.timer import status as timer_status
from tests.unit.timer.test_units import in_folder

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
FOLDER = Path("state/lab")
CONFIGURATION = Configuration(Settings(registry_port=5443), {}, "nas")
AUTHORITY = ca.make_authority(["registry.homelab.local"], 3650, NOW)
LEAF = ca.make_leaf(AUTHORITY, ["registry.homelab.local"], 397, NOW)
GOOD = State(authority=AUTHORITY, leaf=LEAF, registry_host="nas")


def lines(state: State, now: dt.datetime = NOW) -> dict[str, str]:
    return dict(status.deployed(state, CONFIGURATION, FOLDER, now))


def test_what_is_deployed_and_the_days_left() -> None:
    assert lines(GOOD) == {
        "Registry": "https://registry.homelab.local:5443, on nas",
        "Certificate": f"{(LEAF.certificate.not_valid_after_utc - NOW).days} days left (until "
        f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%d}); any run from "
        f"{LEAF.certificate.not_valid_after_utc - 132 * DAY:%Y-%m-%d} on renews it",
        "CA": f"{(AUTHORITY.certificate.not_valid_after_utc - NOW).days} days left "
        f"(until {AUTHORITY.certificate.not_valid_after_utc:%Y-%m-%d})",
    }


def test_what_is_no_more_good_and_what_is_still_under_way() -> None:
    later = lines(replace(GOOD, former={"ci": FormerPassword("$2b$x", NOW)}), NOW + 400 * DAY)
    assert later["Certificate"].startswith(f"expired on {LEAF.certificate.not_valid_after_utc:%Y-%m-%d}; ")
    assert later["Passwords"] == "former ones are still accepted: ci"
    assert "run make rotate-ca" in lines(GOOD, NOW + 3600 * DAY)[""]


def test_before_the_first_run() -> None:
    assert lines(State()) == {"Registry": "none yet: state/lab has no finished deployment"}


@pytest.mark.parametrize(
    ("found", "rows"),
    [
        (
            {"storage": {"text": "12.0 of 30 GB are used (40 %)"}},
            [("Storage", "12.0 of 30 GB are used (40 %)")],
        ),
        ({"storage": {"text": ""}}, []),
        ({"problems": ["the plan could not be made"]}, []),
    ],
)
def test_how_full_the_storage_is(found: dict[str, Any], rows: list[status.Row]) -> None:
    assert status.storage(found) == rows


def test_the_age_of_the_last_backup(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert status.backups(CONFIGURATION, store, NOW) == [
        ("Backup", "none is set up; see docs/by-task.md, Back up")
    ]
    configured = replace(CONFIGURATION, backup_hosts=("pi",))
    assert status.backups(configured, store, NOW) == [("Backup", "no good backup yet (pi)")]
    name = (NOW - 3 * DAY).strftime(FORM)
    store.write_backups({"pi": vars(Backup(name, "ab", 5, 7, has_state=False))})
    assert status.backups(configured, store, NOW) == [("Backup", "3 days old, 5 tags, without state (pi)")]


def test_the_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_folder(tmp_path)
    monkeypatch.setattr(status, "timer_for", lambda _: found)
    monkeypatch.setattr(timer_status, "find_problem", lambda _: None)
    none = "none; make timer has systemd run this every week"
    assert status.timer("lab.py") == [("Timer", none)]
    found.units.mkdir(parents=True, exist_ok=True)
    (found.units / found.timer).touch()
    assert status.timer("lab.py") == [("Timer", "on; it has not run yet")]
    found.folder.mkdir(parents=True, exist_ok=True)
    found.succeeded.touch()
    os.utime(found.succeeded, (time.time(), time.time()))
    monkeypatch.setattr(timer_status, "summary", lambda _: "its last run went well")
    assert status.timer("lab.py") == [("Timer", "its last run went well")]
    monkeypatch.setattr(timer_status, "find_problem", lambda _: "it failed")
    assert status.timer("lab.py") == [("Timer", "it failed")]


def host(steps: int = 0, *problems: str) -> dict[str, Any]:
    return {"steps": [{}] * steps, "problems": [{"problem": each, "remedy": "fix it"} for each in problems]}


@pytest.mark.parametrize(
    ("hosts", "problems", "code", "rows"),
    [
        ({"nas": host(), "pi": host()}, [], 0, [("A run", "has nothing to do on 2 hosts")]),
        ({"nas": host(), "pi": host(1)}, [], 3, [("A run", f"would take 1 step: pi 1 ({status.LISTED})")]),
        ({"nas": host(2), "pi": host(1)}, [], 3, [("A run", f"would take 3 steps: nas 2, pi 1 ({status.LISTED})")]),
        ({"nas": host(0, "it is off")}, [], 1, [("Problems", "[nas] it is off; fix it")]),
        ({}, ["registry_prot: unknown key"], 1, [("Problems", "registry_prot: unknown key")]),
        (
            {"nas": host(2, "a", "b", "c"), "pi": host(0, "d", "e", "f")}, [], 1,
            [("A run", f"would take 2 steps: nas 2 ({status.LISTED})"), ("Problems", "[nas] a; fix it"), ("", "[nas] b; fix it"),
             ("", "[nas] c; fix it"), ("", "[pi] d; fix it"), ("", f"and 2 more problems; {status.LISTED}")],
        ),
    ],
)  # fmt: skip
def test_what_a_run_would_do(
    hosts: dict[str, Any], problems: list[str], code: int, rows: list[tuple[str, str]]
) -> None:
    assert status.planned({"hosts": hosts, "problems": problems}) == (code, rows)


def test_verbs_are_shown_with_the_inventory(capsys: pytest.CaptureFixture[str]) -> None:
    status._show([("A run", f"would take 1 step ({status.LISTED})")], "inventories/lab.py")
    assert capsys.readouterr().out == (
        "A run        would take 1 step (make plan INVENTORY=inventories/lab.py lists them)\n"
    )
