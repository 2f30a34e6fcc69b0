"""What is said of the age of backups."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.backup import age
from tasks.backup.generations import Backup
from tasks.settings.load import Configuration, Settings

NOW = dt.datetime(2026, 3, 31, 3, 0, 0, tzinfo=dt.UTC)


def backup(name: str, *, has_state: bool = True) -> Backup:
    return Backup(name, "ab", 3, 5, has_state)


@pytest.mark.parametrize(
    ("last", "said", "is_problem"),
    [
        ({}, "no good backup yet (pi)", True),
        ({"pi": backup("2026-03-31-020000")}, "less than a day old, 3 tags (pi)", False),
        (
            {"pi": backup("2026-03-29-020000", has_state=False)},
            "2 days old, 3 tags, without state (pi)",
            False,
        ),
        ({"pi": backup("2026-03-23-030000")}, "8 days old, 3 tags (pi)", True),
        (
            {"pi": backup("2099-01-01-030000")},
            "2099-01-01-030000 is in the future: the clock was ahead, or is behind now (pi)",
            True,
        ),
        ({"other": backup("2026-03-31-020000")}, "no good backup yet (pi)", True),
    ],
)
def test_one_host(last: dict[str, Backup], said: str, is_problem: bool) -> None:
    assert age.describe(["pi"], last, NOW) == said
    expected = f"no good backup for 8 days: {said}" if is_problem else None
    assert age.problem(["pi"], last, 8, NOW) == expected


def test_a_damaged_record_is_no_backup() -> None:
    good = backup("2026-03-31-020000")
    records = {"pi": {"name": 7}, "nas": None, "usb": vars(good)}
    assert age.read_last(records) == {"usb": good}


def test_each_place_counts_and_the_problem_names_those_that_are_too_old() -> None:
    settings = Settings(registry_backup_folder="/mnt/usb/backup", registry_backup_program="/usr/bin/mine")
    found = age.targets(Configuration(settings, {}, "nas", ("pi",)))
    assert found == ["pi", "/mnt/usb/backup", "/usr/bin/mine"]
    last = {"pi": backup("2026-03-31-020000"), "/usr/bin/mine": backup("2026-03-31-020000")}
    assert (
        age.problem(found, last, 8, NOW) == "no good backup for 8 days: no good backup yet (/mnt/usb/backup)"
    )


def test_nothing_is_wrong_if_nobody_asked_for_backups() -> None:
    assert age.targets(Configuration(Settings(), {}, "nas")) == []
    assert age.problem([], {}, 8, NOW) is None
