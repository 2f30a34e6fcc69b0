"""How much was used on past days: one line for each day with a run, so that a run can say when the storage is full."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KEPT = 400
"""How many days are kept: a little more than a year, if a run is made each day."""


@dataclass(frozen=True)
class Day:
    """What was used at the first run of a day (UTC), in bytes: of the disk, and by the images if that was measured."""

    date: dt.date
    disk_used: int
    used: int | None = None

    def __str__(self) -> str:
        return f"{self.date} {self.disk_used} {'-' if self.used is None else self.used}"


def read(lines: Iterable[str]) -> tuple[Day, ...]:
    """Return the days in the text of the file, the oldest first; a damaged line is left out: it is one day less."""
    days = {}
    for line in lines:
        try:
            date, disk, used = line.split()
            day = Day(dt.date.fromisoformat(date), int(disk), None if used == "-" else int(used))
        except ValueError:
            continue
        days[day.date] = day
    return tuple(days[date] for date in sorted(days))


def add(days: Sequence[Day], day: Day) -> tuple[Day, ...]:
    """Return the days with one more, without any later ones: these are from when the clock was ahead.

    A day that is there already stays, unless it lacks what is known now.
    """
    known = [each for each in days if each.date <= day.date]
    if known and known[-1].date == day.date:
        if known[-1].used is not None or day.used is None:
            return tuple(known)
        known.pop()
    return (*known, day)[-KEPT:]
