"""What a run knows and Prometheus is told, in its text format (prometheus.io, "Exposition formats")."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tasks.backup.generations import Backup, time_of


@dataclass(frozen=True)
class Figures:
    """What a run knows at its end.

    `certificate_end` and `ca_end` are when they expire, `unfinished` how many hosts the run did not finish, `updates`
    how many images may be out of date. `last_backup` is the oldest of the last good backups of all targets, 0 if one
    has none; None if none are made.
    """

    certificate_end: dt.datetime
    ca_end: dt.datetime
    unfinished: int
    updates: int
    last_backup: float | None = None


def last_backup(targets: Collection[str], last: Mapping[str, Backup]) -> float | None:
    """Return when the last good backup was made of which every target has a later one or it itself; as in `Figures`."""
    if not targets:
        return None
    return min(time_of(last[each].name).timestamp() if each in last else 0.0 for each in targets)


def text(figures: Figures) -> str:
    """Return the text. It has no time of its own: a run that finds the same again has nothing to write."""
    rows = [
        (
            "certificate_end_timestamp_seconds",
            "When the registry's certificate expires.",
            figures.certificate_end.timestamp(),
        ),
        ("ca_end_timestamp_seconds", "When the certificate authority expires.", figures.ca_end.timestamp()),
        ("unfinished_hosts", "Hosts that the last run did not finish.", figures.unfinished),
        ("updates_due", "Images of the registry's own containers that may be out of date.", figures.updates),
    ]
    if figures.last_backup is not None:
        help_ = "When the oldest of the last good backups was made, 0 if there is none."
        rows.append(("last_backup_timestamp_seconds", help_, figures.last_backup))
    return "".join(_gauge(f"homelab_registry_{name}", help_, value) for name, help_, value in rows)


def _gauge(name: str, help_: str, value: float) -> str:
    return f"# HELP {name} {help_}\n# TYPE {name} gauge\n{name} {value:.0f}\n"
