"""What Prometheus and Grafana read: the texts, and how a run writes and removes them."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.metrics import figures, monitoring, operations
from tasks.metrics.figures import Figures
from tasks.metrics.monitoring import Monitoring
from tasks.registry import metrics
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tasks.settings.types import Role

TEMPLATES = str(ROOT / "templates")


def made(*, backups: bool = False, **settings: Any) -> Monitoring:
    return monitoring.monitoring(Settings(registry_metrics=True, **settings), TEMPLATES, backups=backups)


def expressions(found: Monitoring) -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for group in found.rules for rule in group["rules"]}


@pytest.mark.parametrize(
    ("settings", "account", "target"),
    [
        ({}, "metrics", "registry.homelab.local:443"),
        ({"registry_port": 5443}, "metrics", "registry.homelab.local:5443"),
        (
            {"registry_accounts": {"cluster": "pull", "prom": "metrics"}, "registry_hostname": "r.home.arpa"},
            "prom",
            "r.home.arpa:443",
        ),
    ],
)
def test_prometheus_is_told_where_to_ask_and_with_which_account(
    settings: dict[str, Any], account: str, target: str
) -> None:
    found = made(**settings)
    (job,) = yaml.safe_load(found.configuration)["scrape_configs"]
    assert (found.account, found.target) == (account, target)
    assert job["basic_auth"] == {"username": account, "password_file": monitoring.PASSWORD}
    assert job["static_configs"] == [{"targets": [target]}]
    assert (job["scheme"], job["tls_config"]) == ("https", {"ca_file": monitoring.CA})


def test_the_account_is_added_unless_another_has_the_role() -> None:
    assert Settings(registry_metrics=True).registry_accounts["metrics"] == "metrics"
    assert "metrics" not in Settings().registry_accounts
    own: dict[str, Role] = {"cluster": "pull", "prom": "metrics"}
    assert Settings(registry_metrics=True, registry_accounts=own).registry_accounts == own
    with pytest.raises(LookupError):
        monitoring.reader(Settings())
    for wrong in (
        {"registry_accounts": own},
        {"registry_metrics": True, "registry_accounts": {"cluster": "pull", "metrics": "pull"}},
    ):
        with pytest.raises(ValueError, match="metrics"):
            Settings.model_validate(wrong)


@pytest.mark.parametrize(("every", "days"), [("daily", 2), ("weekly", 14), ("monthly", 62)])
def test_a_timer_is_dead_after_two_of_its_periods(every: str, days: int) -> None:
    assert expressions(made(registry_timer=every))["RegistryTimerDead"].endswith(f"> {days} * 86400")


def test_without_backups_nobody_is_told_of_their_age() -> None:
    assert "RegistryBackupOld" not in expressions(made())
    assert expressions(made(backups=True, registry_backup_days=3))["RegistryBackupOld"].endswith(
        "> 3 * 86400"
    )


def known_metrics() -> set[str]:
    """Return the name of every metric that there is: those that are measured, counted, and known to a run."""
    settings = {"registry_metrics": True, "registry_storage_limit": "30GB", "registry_caches": ["docker.io"]}
    written = metrics.files(Settings.model_validate(settings), TEMPLATES)
    now = dt.datetime.now(dt.UTC)
    measured = re.findall(r"\bgauge (\w+_\w+)", written[metrics.SCRIPT])
    counted = re.findall(r"^counter (\w+)", written[metrics.PROGRAM], re.MULTILINE)
    times = [
        f"{name}_bucket" for name in re.findall(r"^histogram (\w+)", written[metrics.PROGRAM], re.MULTILINE)
    ]
    told = re.findall("# TYPE (\\w+)", figures.text(Figures(now, now, 0, 0, 0.0)))
    return {name.removeprefix("homelab_registry_") for name in (*measured, *counted, *times, *told)}


def test_rules_and_dashboard_name_no_metric_that_there_is_not() -> None:
    found = made(backups=True)
    named = set(re.findall(r"homelab_registry_(\w+)", found.dashboard + found.rules_text))
    assert named <= known_metrics()
    assert len(named) > 20


def test_the_dashboard_asks_one_registry_and_data_source_that_are_chosen() -> None:
    dashboard = json.loads(made().dashboard)
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "instance"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            assert (
                target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            )
            selectors = re.findall(r"(?:homelab_registry_\w+|\bup)\{([^}]*)\}", target["expr"])
            assert selectors
            assert set(selectors) == {'job="homelab-registry", instance=~"$instance"'}


def test_a_run_writes_what_has_changed_and_removes_only_its_own(tmp_path: Path) -> None:
    texts = monitoring.files(made(), "secret", "CA")
    assert set(texts) == set(monitoring.FILES)
    (step,) = operations.kept(tmp_path, texts)
    assert step.text.endswith("in " + f"{tmp_path}/monitoring: Prometheus and Grafana can read that")
    step.action()
    folder = tmp_path / "monitoring"
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    assert operations.kept(tmp_path, texts) == []
    (step,) = operations.kept(tmp_path, texts | {monitoring.PASSWORD: "other\n"})
    assert step.text.startswith(f"write {monitoring.PASSWORD} in ")

    (folder / "mine.yml").write_text("mine")
    (removal,) = operations.removal(tmp_path)
    removal.action()
    assert [path.name for path in folder.iterdir()] == ["mine.yml"]
    assert operations.removal(tmp_path) == []
    (folder / "mine.yml").unlink()
    operations.kept(tmp_path, texts)[0].action()
    operations.removal(tmp_path)[0].action()
    assert not folder.exists()
