"""The alerts, in a real Prometheus whose history was written: each fires on its cause alone. No host is needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tasks.metrics import monitoring
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tests.gateway.prometheus import Series, backfill, prometheus, promtool

GB, HOUR, DAY = 10**9, 3600, 86400
STEP = 60
HOURS = 26
COUNT = HOURS * HOUR // STEP + 1
"""A day and two hours, a sample each minute."""

NAME = "homelab_registry_{}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run writes into `monitoring/`, with a backup that is to be made."""
    made = tmp_path_factory.mktemp("monitoring")
    found = monitoring.monitoring(Settings(registry_metrics=True), str(ROOT / "templates"), backups=True)
    for name, text in monitoring.files(found, "secret", "").items():
        (made / name).write_text(text)
    return made


def line(begin: float, per_hour: float = 0.0) -> list[float]:
    """Values that grow evenly."""
    return [begin + per_hour * STEP * number / HOUR for number in range(COUNT)]


def step_up(last_minutes: int, by: float) -> list[float]:
    """A counter that grows in the last minutes alone, evenly."""
    return [by * max(0, last_minutes - (COUNT - 1 - number)) / last_minutes for number in range(COUNT)]


def normal(now: float) -> dict[str, list[float]]:
    """What a registry in good order says."""
    every_minute = [now - STEP * (COUNT - 1 - number) for number in range(COUNT)]
    values = {
        "certificate_end_timestamp_seconds": line(now + 200 * DAY),
        "ca_end_timestamp_seconds": line(now + 3000 * DAY),
        "storage_used_bytes": line(10 * GB),
        "storage_limit_bytes": line(30 * GB),
        "disk_size_bytes": line(100 * GB),
        "disk_free_bytes": line(50 * GB),
        "refused_logins_total": line(3),
        'requests_total{code="200"}': line(1000, 3600),
        'requests_total{code="503"}': line(2, 3),
        "last_timer_run_timestamp_seconds": line(now - 6 * DAY),
        "last_backup_timestamp_seconds": line(now - 6 * DAY),
        "written_timestamp_seconds": every_minute,
    }
    return {"up": line(1), **{NAME.format(name): found for name, found in values.items()}}


Cause = Callable[[float], dict[str, list[float]]]
CAUSES: dict[str, Cause] = {
    "RegistryCertificateEnds": lambda now: {"certificate_end_timestamp_seconds": line(now + 13 * DAY)},
    "RegistryCAEnds": lambda now: {"ca_end_timestamp_seconds": line(now + 364 * DAY)},
    "RegistryStorageFills": lambda _: {"disk_free_bytes": line(70 * GB, -GB)},
    "RegistryStorageFills, the limit": lambda _: {"storage_used_bytes": line(1 * GB, 0.5 * GB)},
    "RegistryStorageNearlyFull": lambda _: {"storage_used_bytes": line(29 * GB)},
    "RegistryStorageNearlyFull, the disk": lambda _: {"disk_free_bytes": line(4 * GB)},
    "RegistryRefusedLogins": lambda _: {"refused_logins_total": step_up(5, 50)},
    "RegistryErrors": lambda _: {'requests_total{code="503"}': step_up(10, 100)},
    "RegistryTimerDead": lambda now: {"last_timer_run_timestamp_seconds": line(now - 15 * DAY)},
    "RegistryBackupOld": lambda now: {"last_backup_timestamp_seconds": line(now - 9 * DAY)},
    "RegistryBackupOld, never one": lambda _: {"last_backup_timestamp_seconds": line(0)},
    "RegistryMetricsStale": lambda now: {"written_timestamp_seconds": line(now - 400)},
    "RegistryDown": lambda _: {"up": line(0)},
}
QUIET: dict[str, Cause] = {
    "nothing": lambda _: {},
    "certificate of 15 days": lambda now: {"certificate_end_timestamp_seconds": line(now + 15 * DAY)},
    "one large push": lambda _: {
        "disk_free_bytes": line(50 * GB)[: COUNT // 2] + line(40 * GB)[COUNT // 2 :]
    },
    "a new registry that fills": lambda _: {"disk_free_bytes": line(60 * GB, -GB)[-600:]},
    "slow growth": lambda _: {"disk_free_bytes": line(50 * GB, -0.1 * GB)},
    "a user who mistypes": lambda _: {"refused_logins_total": step_up(5, 20)},
    "an idle registry that restarts": lambda _: {
        'requests_total{code="200"}': line(1000, 60),
        'requests_total{code="503"}': step_up(1, 8),
    },
    "a timer that is late": lambda now: {"last_timer_run_timestamp_seconds": line(now - 10 * DAY)},
}


def of(cause: Cause, now: float) -> Series:
    """The normal series, with those of a cause in place of theirs."""
    changed = {name if name == "up" else NAME.format(name): values for name, values in cause(now).items()}
    return normal(now) | changed


def test_promtool_finds_nothing_wrong(folder: Path) -> None:
    (folder / "ca.crt").write_text("")
    promtool("check", "config", folder / "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", folder / "rules.yml")


def test_each_alert_fires_on_its_cause_alone(folder: Path, tmp_path: Path) -> None:
    rules = yaml.safe_load((folder / "rules.yml").read_text())["groups"][0]["rules"]
    assert {cause.partition(",")[0] for cause in CAUSES} == {rule["alert"] for rule in rules}
    for rule in rules:
        # Those that wait do so for minutes, which a test does not.
        rule.pop("for", None)
        assert set(rule["annotations"]) == {"summary", "remedy"}
    at_once = tmp_path / "rules"
    at_once.mkdir()
    (at_once / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "r", "rules": rules}]}))
    (at_once / "prometheus.yml").write_text((folder / "prometheus.yml").read_text())
    now = time.time()
    backfill(tmp_path, {name: of(cause, now) for name, cause in (CAUSES | QUIET).items()}, STEP, now)
    with prometheus(at_once, tmp_path) as running:
        running.wait_for({cause: {cause.partition(",")[0]} for cause in CAUSES})


def test_a_week_of_normal_use_fires_none(folder: Path, tmp_path: Path) -> None:
    """Pushes in the day, a collection and a backup each night, the timer once a week, restarts and wrong passwords."""
    hours = 8 * 24
    used = [10e9 + 0.2e9 * min(hour % 24, 8) + 0.1e9 * (hour // 24) for hour in range(hours)]
    free = [50e9 - each for each in used]
    hourly = {
        "up": [1.0] * hours,
        "storage_used_bytes": used,
        "storage_limit_bytes": [30e9] * hours,
        "disk_free_bytes": free,
        "disk_size_bytes": [100e9] * hours,
        "certificate_end_timestamp_seconds": [200.0 * DAY] * hours,
        "ca_end_timestamp_seconds": [3000.0 * DAY] * hours,
        "refused_logins_total": [float(hour // 5) for hour in range(hours)],
        'requests_total{code="200"}': [1000.0 * hour for hour in range(hours)],
        'requests_total{code="503"}': [5.0 * (hour // 24) for hour in range(hours)],
        "last_timer_run_timestamp_seconds": [DAY + 7.0 * DAY * (hour // 168) for hour in range(hours)],
        "last_backup_timestamp_seconds": [float(DAY * (hour // 24)) for hour in range(hours)],
        "written_timestamp_seconds": [float(hour * HOUR) for hour in range(hours)],
    }
    # A sample every five minutes, the same for an hour; what was written is of now.
    series = []
    for name, values in hourly.items():
        metric = name if name == "up" else NAME.format(name)
        metric = metric if metric.endswith("}") else metric + "{}"
        labels = 'job="homelab-registry",instance="r"' + ("," if not metric.endswith("{}") else "")
        metric = metric.replace("{", "{" + labels, 1)
        text = " ".join(f"{value:.0f}+0x11" for value in values)
        if "written" in name:
            text = f"0+300x{hours * 12}"
        series.append({"series": metric, "values": text})
    rules = yaml.safe_load((folder / "rules.yml").read_text())["groups"][0]["rules"]
    checks = [
        {"eval_time": f"{hour}h", "alertname": rule["alert"], "exp_alerts": []}
        for rule in rules
        for hour in range(1, hours, 3)
    ]
    test = {
        "rule_files": [str(folder / "rules.yml")],
        "evaluation_interval": "5m",
        "tests": [{"interval": "5m", "input_series": series, "alert_rule_test": checks}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "test.yml")
