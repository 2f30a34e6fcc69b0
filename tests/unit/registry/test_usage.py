"""What is said of the storage: by its limit, by its disk, and when it will be full."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tasks.registry import usage
from tasks.registry.usage import Level, Measured, Usage
from tasks.remote.fact_scripts import read_answer
from tasks.settings.load import Settings
from tasks.state.history import Day

GB = 10**9
TODAY = dt.datetime(2026, 3, 31, 12, tzinfo=dt.UTC)
NOW = int(TODAY.timestamp())
HELP = "run make make-room (docs/by-task.md#the-disk-is-full) or raise registry_storage_limit"


def used(gb: float, *, free: float = 50, size: float = 100, due: int = NOW + 60) -> Usage:
    measured = Measured(int(gb * GB), NOW - 3600, due)
    return Usage(int(size * GB), int(free * GB), NOW, measured)


def past(*points: tuple[int, float]) -> list[Day]:
    """Figures of so many days ago, in GB: the images', with 40 GB of other things on the disk."""
    return [Day((TODAY - dt.timedelta(ago)).date(), int((gb + 40) * GB), int(gb * GB)) for ago, gb in points]


@pytest.mark.parametrize(
    ("points", "room", "days"),
    [
        ([], 10, None),
        ([(0, 5)], 10, None),
        ([(6, 1), (0, 7)], 10, None),
        ([(7, 0), (0, 7)], 10, 10),
        ([(7, 7), (0, 7)], 10, None),
        ([(7, 8), (0, 7)], 10, None),
        ([(40, 0), (30, 4), (0, 7)], 10, 100),
        ([(400, 0), (0, 7)], 10, None),
        ([(10, 0), (5, 99), (0, 10)], 10, 10),
        ([(10, 0), (0, 10)], 0, 0),
        ([(10, 0), (0, 10)], -5, 0),
    ],
    ids=[
        "nothing", "one day", "less than a week", "a week", "no growth", "shrunk", "of the last 30 days", "long ago",
        "only the ends count", "full", "more than full",
    ],
)  # fmt: skip
def test_days_that_are_left(points: list[tuple[int, int]], room: int, days: int | None) -> None:
    dated = [(TODAY.date() - dt.timedelta(ago), value) for ago, value in points]
    assert usage.days_left(dated, room) == days


@pytest.mark.parametrize(
    ("settings", "found", "days", "level", "text"),
    [
        ({}, used(12), [], "good", ""),
        ({}, None, [], "good", ""),
        ({"registry_storage_limit": "30GB"}, None, [], "good", ""),
        ({"registry_storage_limit": "30GB"}, Usage(100 * GB, 50 * GB, NOW), [], "good",
         "at most 30 GB; not measured yet"),
        ({"registry_storage_limit": "30GB"}, used(12), [], "good", "12.0 of 30 GB are used (40 %)"),
        ({"registry_storage_limit": "28.5GiB"}, used(12), [], "good", "11.1 of 28.5 GiB are used (39 %)"),
        ({"registry_storage_limit": "30GB"}, used(12), past((20, 2)), "good",
         "12.0 of 30 GB are used (40 %), at this rate full in 36 days"),
        ({"registry_storage_limit": "30GB"}, used(23.9999), [], "good", "23.9 of 30 GB are used (79 %)"),
        ({"registry_storage_limit": "30GB"}, used(24), [], "warn", f"24.0 of 30 GB are used (80 %); {HELP}"),
        ({"registry_storage_limit": "30GB"}, used(29.5), past((10, 19.5)), "warn",
         f"29.5 of 30 GB are used (98 %), at this rate full in 0 days; {HELP}"),
        ({"registry_storage_limit": "30GB"}, used(28.9), past((10, 18.9)), "warn",
         f"28.9 of 30 GB are used (96 %), at this rate full in 1 day; {HELP}"),
        ({"registry_storage_limit": "30GB", "registry_storage_warn": 100}, used(29.99), [], "good",
         "29.9 of 30 GB are used (99 %)"),
        ({"registry_storage_limit": "30GB"}, used(30), [], "full",
         f"30.0 of 30 GB are used (100 %): new uploads are refused; {HELP}"),
        ({"registry_storage_limit": "30GB", "registry_storage_warn": 100}, used(45), [], "full",
         f"45.0 of 30 GB are used (150 %): new uploads are refused; {HELP}"),
        ({"registry_storage_limit": "30GB"}, used(12, due=NOW - 1), [], "unknown",
         "12.0 of 30 GB are used (40 %), but nobody has measured since 2026-03-31 11:00 UTC: see docker logs "
         "homelab-registry-keeper on the registry host, and make deploy"),
        ({"registry_storage_limit": "30GB"}, used(12, free=4.9), [], "warn",
         "12.0 of 30 GB are used (40 %); only 4.9 GB of 100.0 GB are free on the disk of /var/lib/homelab-registry"),
        ({}, used(12, free=5), [], "good", ""),
        ({}, used(12, free=4.9), [], "warn",
         "only 4.9 GB of 100.0 GB are free on the disk of /var/lib/homelab-registry; run make "
         "make-room (docs/by-task.md#the-disk-is-full)"),
        ({}, used(5, free=1.05, size=10), [], "warn",
         "only 1.0 GB of 10.0 GB are free on the disk of /var/lib/homelab-registry; run make "
         "make-room (docs/by-task.md#the-disk-is-full)"),
        ({}, used(32, free=28), past((10, 12)), "warn",
         "28.0 GB of 100.0 GB are free on the disk of /var/lib/homelab-registry, at this rate full in 14 days; run "
         "make make-room (docs/by-task.md#the-disk-is-full)"),
        ({}, used(30, free=30), past((10, 10)), "good", ""),
    ],
)  # fmt: skip
def test_what_is_said(
    settings: dict[str, Any], found: Usage | None, days: list[Day], level: Level, text: str
) -> None:
    summary = usage.summarize(Settings(**settings), found, days)
    assert (summary.text, summary.level) == (text, level)


def test_programs_get_figures() -> None:
    found = usage.summarize(Settings(registry_storage_limit="30GB"), used(12, free=4), past((20, 2)))
    assert found.figures == {
        "limit": 30 * GB, "used": 12 * GB, "percent": 40, "full_in_days": 36,
        "disk_size": 100 * GB, "disk_free": 4 * GB, "disk_full_in_days": 1,
    }  # fmt: skip
    unknown = usage.summarize(Settings(registry_storage_limit="30GB"), Usage(100 * GB, 50 * GB, NOW), [])
    assert unknown.figures == {"limit": 30 * GB, "used": None, "percent": None, "full_in_days": None}
    assert usage.summarize(Settings(), used(12), []).figures is None


def test_figures_of_today_are_those_of_now() -> None:
    earlier = past((10, 2), (0, 3))
    found = usage.summarize(Settings(registry_storage_limit="30GB"), used(12), earlier)
    assert found.text == "12.0 of 30 GB are used (40 %), at this rate full in 18 days"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], None),
        (["disk|4096 1000 400|1800000000"], Usage(4096000, 1638400, 1800000000)),
        (["disk|512 1000 0|1800000000", "measured|77 1 2"], Usage(512000, 0, 1800000000, Measured(77, 1, 2))),
    ],
)
def test_the_host_s_answer(lines: list[str], found: Usage | None) -> None:
    assert usage.read(read_answer([*lines, "end"])) == found


@pytest.mark.parametrize("line", ["measured|", "measured|77 1", "measured|x y z", "measured|77 1 2 3"])
def test_damaged_figures_stop_no_run(line: str) -> None:
    found = usage.read(read_answer(["disk|512 1000 0|1800000000", line, "end"]))
    assert found == Usage(512000, 0, 1800000000)
