"""The figures of past days: one line a day, bounded, and a damaged line costs no more than its day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tasks.state import history
from tasks.state.history import Day
from tasks.state.store import Store

DAY = dt.date(2026, 3, 1)


def day(number: int, disk: int = 10, used: int | None = 5) -> Day:
    return Day(DAY + dt.timedelta(number), disk, used)


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ((), day(0), (day(0),)),
        ((day(0),), day(1), (day(0), day(1))),
        ((day(0),), day(0, 99, 99), (day(0),)),
        ((day(0, used=None),), day(0, 11), (day(0, 11),)),
        ((day(0, used=None),), day(0, 11, None), (day(0, used=None),)),
        ((day(0), day(400)), day(1), (day(0), day(1))),
    ],
    ids=["first", "next", "same day", "now measured", "still not measured", "clock was ahead"],
)
def test_the_first_run_of_a_day_adds_a_line(
    before: tuple[Day, ...], new: Day, after: tuple[Day, ...]
) -> None:
    assert history.add(before, new) == after


def test_old_days_are_dropped() -> None:
    days: tuple[Day, ...] = ()
    for number in range(500):
        days = history.add(days, day(number))
    assert days == tuple(map(day, range(100, 500)))


def test_what_is_written_is_read_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    store, days = Store(tmp_path), (day(0, used=None), day(1))
    assert store.read_history() == ()
    store.write_history(days)
    assert store.read_history() == days
    path = tmp_path / "usage"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(f"{day(3)}\n2026-03-\n2026-02-30 1 1\n{day(2)} 7\nx y z\n\n{day(1)}\n")
    assert store.read_history() == (day(1), day(3))
    path.write_bytes(b"\xff\n")
    assert store.read_history() == ()
