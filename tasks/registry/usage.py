"""How full the registry's storage is: by its limit, and by the disk that it is on.

With a limit, the keeper measures (`keeper.py`), and a run reads its figures. What nobody measured is not known, and is
said to be so. From the figures of past runs comes when the storage will be full.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.registry import keeper
from tasks.remote.fact_scripts import Answer
from tasks.settings import sizes
from tasks.settings.load import Settings
from tasks.state.history import Day

GIB = 2**30
NEARLY_FULL = 0.05
"""Less than this part of a disk, or less than 1 GiB, is little room."""

WINDOW_DAYS, LEAST_DAYS = 30, 7
"""How far back the figures go that a rate is made of, and how much of that there must be to make one."""

SOON_DAYS = 14
"""Without a limit, a disk that is full in so many days is worth a line."""

Level = Literal["good", "warn", "full", "unknown"]


@dataclass(frozen=True)
class Measured:
    """What the keeper measured: bytes used, when, and when at the latest it measures again.

    Times are the registry host's, in seconds since 1970.
    """

    used: int
    at: int
    due: int


@dataclass(frozen=True)
class Usage:
    """What is used now, in bytes: of the disk that the images are on, and by the images, if that is `measured`.

    `now` is the registry host's clock.
    """

    size: int
    free: int
    now: int
    measured: Measured | None = None


@dataclass(frozen=True)
class Summary:
    """What people are told, empty if that is nothing, how bad it is, and the figures, for programs."""

    text: str = ""
    level: Level = "good"
    figures: dict[str, Any] | None = None


def look(path: str, folder: str) -> str:
    """Return the script that reads how full it is at `path`, the images' folder; `folder` is ours on the registry host.

    It comes after the script of `storage.look`, whose functions it calls.
    """
    figures = shlex.quote(f"{folder}/{keeper.LIMIT}/{keeper.FIGURES}")
    return f"""
existing_part {shlex.quote(path)}
echo "disk|$(stat -f -c '%S %b %a' -- "$place")|$(date +%s)"
[ ! -f {figures} ] || echo "measured|$(head -c 100 {figures})"
"""


def read(answer: Answer) -> Usage | None:
    """Return what is used; None if the host could not say. `ValueError` if what it said is no answer."""
    if not (rows := answer.all("disk")):
        return None
    (disk, now), *_ = rows
    unit, blocks, free = (int(field) for field in disk.split())
    return Usage(unit * blocks, unit * free, int(now), read_measured(answer.one("measured") or ""))


def read_measured(text: str) -> Measured | None:
    """Return what the keeper wrote; None if a power failure left no more than a part of it."""
    try:
        used, at, due = (int(field) for field in text.split())
    except ValueError:
        return None
    return Measured(used, at, due)


def is_nearly_full(size: int, free: int) -> bool:
    """Return whether a disk is about to be full; sizes in bytes."""
    return free < max(GIB, size * NEARLY_FULL)


def days_left(points: Sequence[tuple[dt.date, int]], room: int) -> int | None:
    """Return in how many days the room is used up; None if the figures of days (date, bytes used) do not say.

    They do not if they are of less than a week, or if no more is used at their end than at their begin.
    """
    recent = [(day, used) for day, used in points if (points[-1][0] - day).days <= WINDOW_DAYS]
    if len(recent) < 2:
        return None
    (first, then), (last, now) = recent[0], recent[-1]
    days = (last - first).days
    if days < LEAST_DAYS or now <= then:
        return None
    return max(0, room) * days // (now - then)


def summarize(settings: Settings, usage: Usage | None, past: Sequence[Day]) -> Summary:
    """Return what is to be said of the storage. `past` has the figures of past days, the oldest first."""
    if usage is None:
        return Summary()
    today = day_of(usage)
    days = [*(day for day in past if day.date < today.date), today]
    of_disk = days_left([(day.date, day.disk_used) for day in days], usage.free)
    disk = _disk(settings, usage, of_disk)
    if settings.registry_storage_limit is None:
        return disk
    limited = _limited(settings, settings.registry_storage_limit, usage, days)
    if not disk.text:
        return limited
    figures = {**(limited.figures or {}), **(disk.figures or {})}
    return Summary(f"{limited.text}; {disk.text}", max(limited.level, disk.level, key=_LEVELS.index), figures)


_LEVELS: tuple[Level, ...] = ("good", "warn", "unknown", "full")


def day_of(usage: Usage) -> Day:
    """Return the figures of a day."""
    date = dt.datetime.fromtimestamp(usage.now, dt.UTC).date()
    return Day(date, usage.size - usage.free, usage.measured.used if usage.measured else None)


def _limited(settings: Settings, limit: str, usage: Usage, days: Sequence[Day]) -> Summary:
    """Return what is to be said of the limit."""
    unit, most = sizes.unit_of(limit), sizes.size_in_bytes(limit)
    figures: dict[str, Any] = {"limit": most, "used": None, "percent": None, "full_in_days": None}
    if usage.measured is None:
        return Summary(f"at most {sizes.shown(limit)}; not measured yet", "good", figures)
    used = usage.measured.used
    percent = used * 100 // most
    left = days_left([(day.date, day.used) for day in days if day.used is not None], most - used)
    figures |= {"used": used, "percent": percent, "full_in_days": left}
    text = f"{sizes.in_unit(used, unit)} of {sizes.shown(limit)} are used ({percent} %){_rate(left)}"
    if usage.now > usage.measured.due:
        at = dt.datetime.fromtimestamp(usage.measured.at, dt.UTC)
        why = f"docker logs {keeper.NAME} on the registry host, and make deploy"
        return Summary(
            f"{text}, but nobody has measured since {at:%Y-%m-%d %H:%M} UTC: see {why}", "unknown", figures
        )
    if used >= most:
        return Summary(f"{text}: new uploads are refused; {keeper.REMEDY}", "full", figures)
    if percent >= settings.registry_storage_warn:
        return Summary(f"{text}; {keeper.REMEDY}", "warn", figures)
    return Summary(text, "good", figures)


def _disk(settings: Settings, usage: Usage, left: int | None) -> Summary:
    """Return what is to be said of the disk, if it is nearly full."""
    full = is_nearly_full(usage.size, usage.free)
    if not full and (left is None or left > SOON_DAYS):
        return Summary()
    free, size = (f"{sizes.in_unit(count, 'GB')} GB" for count in (usage.free, usage.size))
    figures = {"disk_size": usage.size, "disk_free": usage.free, "disk_full_in_days": left}
    remedy = (
        "" if settings.registry_storage_limit else "; run make make-room (docs/by-task.md#the-disk-is-full)"
    )
    text = (
        f"{'only ' if full else ''}{free} of {size} are free on the disk of {settings.registry_storage_path}"
    )
    return Summary(f"{text}{_rate(left)}{remedy}", "warn", figures)


def _rate(left: int | None) -> str:
    if left is None:
        return ""
    return f", at this rate full in {left} day{'' if left == 1 else 's'}"
