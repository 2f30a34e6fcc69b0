"""Backups in a folder: their names, what is kept of each, and which stay when there are more than are to be kept."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.settings.types import BACKUP_NAME

MARK = ".homelab-registry-backup"
"""A file in each backup, written when all else is there and was looked at: without it, a folder is no backup."""

FORM = "%Y-%m-%d-%H%M%S"

CLOCK_TOLERANCE = dt.timedelta(hours=1)
"""How far the clocks of two machines may be apart: a run refuses more (`tasks/run/machines.py`)."""

PERIODS: Mapping[str, Callable[[dt.datetime], object]] = {
    "daily": lambda time: time.date(),
    "weekly": lambda time: time.isocalendar()[:2],
    "monthly": lambda time: (time.year, time.month),
}
"""What two backups of the same period have in common."""


@dataclass(frozen=True)
class Backup:
    """A backup. `name` is when it was begun, in UTC; `storage` the id in the mark of the images' folder.

    `tags` and `bytes` are how many there are in it, `has_state` is whether the state of the controller is.
    """

    name: str
    storage: str
    tags: int
    bytes: int
    has_state: bool

    @property
    def text(self) -> str:
        """The content of its mark."""
        return json.dumps(vars(self)) + "\n"


def read_mark(text: str) -> Backup | None:
    """Read a backup's mark; None if it is damaged."""
    try:
        return read_record(json.loads(text))
    except ValueError:
        return None


def read_record(found: Any) -> Backup | None:
    """Return the backup with these values, as `vars` has them; None if one is missing or no value of its kind."""
    try:
        backup = Backup(
            str(found["name"]),
            str(found["storage"]),
            int(found["tags"]),
            int(found["bytes"]),
            bool(found["has_state"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    return backup if re.fullmatch(BACKUP_NAME, backup.name) else None


def time_of(name: str) -> dt.datetime:
    """Return when a backup was begun; `ValueError` if that is no name of a backup."""
    return dt.datetime.strptime(name, FORM).replace(tzinfo=dt.UTC)


def surplus(names: Iterable[str], keep: Mapping[str, int]) -> list[str]:
    """Return the names of the backups that may go, oldest first.

    Of each period that is to be kept, the last backup stays, and of as many periods as have one. The last of all stays.
    """
    newest_first = sorted(names, reverse=True)
    kept: set[str] = set()
    for period, number in keep.items():
        last_of: dict[object, str] = {}
        for name in newest_first:
            last_of.setdefault(PERIODS[period](time_of(name)), name)
        kept.update(list(last_of.values())[:number])
    return sorted(set(newest_first) - kept)


def removable(backups: Iterable[Backup], keep: Mapping[str, int]) -> list[str]:
    """Return the names of the backups that may go. The last one with the state stays: it may not be in later ones."""
    backups = list(backups)
    with_state = max((each.name for each in backups if each.has_state), default="")
    return [name for name in surplus((each.name for each in backups), keep) if name != with_state]
