"""What a run tells Prometheus, by table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pytest

from tasks.backup.generations import FORM, Backup
from tasks.metrics import figures
from tasks.metrics.figures import Figures

NEW_YEAR = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
WHEN = {day: NEW_YEAR + dt.timedelta(days=day) for day in (0, 5)}
BACKUPS = {day: Backup(f"{when:{FORM}}", "", 3, 2, True) for day, when in WHEN.items()}
KNOWN = Figures(WHEN[0], WHEN[5], unfinished=2, updates=1)


def samples(known: Figures) -> dict[str, str]:
    lines = figures.text(known).splitlines()
    return dict(line.split(" ", 1) for line in lines if not line.startswith("#"))


def test_each_figure_is_a_gauge_with_its_help() -> None:
    assert figures.text(KNOWN).splitlines()[:3] == [
        "# HELP homelab_registry_certificate_end_timestamp_seconds When the registry's certificate expires.",
        "# TYPE homelab_registry_certificate_end_timestamp_seconds gauge",
        "homelab_registry_certificate_end_timestamp_seconds 1798761600",
    ]
    assert samples(KNOWN) == {
        "homelab_registry_certificate_end_timestamp_seconds": "1798761600",
        "homelab_registry_ca_end_timestamp_seconds": "1799193600",
        "homelab_registry_unfinished_hosts": "2",
        "homelab_registry_updates_due": "1",
    }


@pytest.mark.parametrize(
    ("targets", "last", "told"),
    [
        ([], {}, None),
        ([], {"nas": 0}, None),
        (["nas"], {}, 0.0),
        (["nas"], {"nas": 5}, WHEN[5].timestamp()),
        (["nas", "/disk"], {"nas": 5, "/disk": 0}, WHEN[0].timestamp()),
        (["nas", "/disk"], {"nas": 5}, 0.0),
        (["nas"], {"nas": 5, "gone": 0}, WHEN[5].timestamp()),
    ],
)
def test_the_oldest_of_the_last_backups_counts(
    targets: list[str], last: Mapping[str, int], told: float | None
) -> None:
    found = figures.last_backup(targets, {target: BACKUPS[day] for target, day in last.items()})
    assert found == told
    shown = samples(Figures(WHEN[0], WHEN[0], 0, 0, found)).get(
        "homelab_registry_last_backup_timestamp_seconds"
    )
    assert shown == (None if told is None else f"{told:.0f}")
