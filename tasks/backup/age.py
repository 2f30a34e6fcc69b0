"""How old the last good backup is: what runs, `make status` and the verification say of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from tasks.backup.generations import Backup, read_record, time_of
from tasks.settings.load import Configuration


def targets(configuration: Configuration) -> list[str]:
    """Return what keeps backups: hosts by name, the folder and the program by path."""
    settings = configuration.settings
    own = (settings.registry_backup_folder, settings.registry_backup_program)
    return [*configuration.backup_hosts, *(path for path in own if path)]


def read_last(records: Mapping[str, Any]) -> dict[str, Backup]:
    """Return the last good backup of each target, as the state knows it. A damaged record is none."""
    found = {target: read_record(record) for target, record in records.items()}
    return {target: backup for target, backup in found.items() if backup}


def describe(targets: Collection[str], last: Mapping[str, Backup], now: dt.datetime) -> str:
    """Return in one line how old the last good backup of each target is."""
    return "; ".join(f"{_age(last.get(target), now)} ({target})" for target in targets)


def problem(targets: Collection[str], last: Mapping[str, Backup], days: int, now: dt.datetime) -> str | None:
    """Return what is wrong with the age of the backups, None if nothing is, or if none are to be made."""
    limit = dt.timedelta(days=days)
    old = [each for each in targets if each not in last or abs(now - time_of(last[each].name)) >= limit]
    return f"no good backup for {days} days: {describe(old, last, now)}" if old else None


def _age(backup: Backup | None, now: dt.datetime) -> str:
    if backup is None:
        return "no good backup yet"
    days = (now - time_of(backup.name)).days
    if days < -1:
        return f"{backup.name} is in the future: the clock was ahead, or is behind now"
    age = f"{days} day{'s'[: days != 1]} old" if days > 0 else "less than a day old"
    return f"{age}, {backup.tags} tags{'' if backup.has_state else ', without state'}"
