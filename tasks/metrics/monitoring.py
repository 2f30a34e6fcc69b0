"""What a Prometheus and a Grafana need to watch the registry: a configuration, rules and a dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.registry.usage import GIB
from tasks.remote.templates import environment
from tasks.settings.load import Settings

JOB = "homelab-registry"
"""The label `job` of all series."""

CONFIGURATION, RULES, DASHBOARD = "prometheus.yml", "rules.yml", "dashboard.json"
PASSWORD, CA = "metrics.password", "ca.crt"
FILES = (CONFIGURATION, RULES, DASHBOARD, PASSWORD, CA)

PERIODS = {"daily": 2, "weekly": 14, "monthly": 62}
"""Days after which two runs of the timer are missing."""


@dataclass(frozen=True)
class Monitoring:
    """The texts, and what Prometheus logs in with. `rules` are the groups of rules as data."""

    account: str
    target: str
    configuration: str
    rules_text: str
    rules: list[dict[str, Any]]
    dashboard: str


def reader(settings: Settings) -> str:
    """Return the account that Prometheus uses; `LookupError` without metrics."""
    accounts = settings.registry_accounts
    found = next((name for name, role in accounts.items() if role == "metrics"), None)
    if found is None:
        raise LookupError("registry_metrics is off")
    return found


def monitoring(settings: Settings, templates: str, *, backups: bool) -> Monitoring:
    """Return all of it; `templates` is their folder, `backups` says whether any are to be made."""
    account = reader(settings)
    target = settings.endpoint if settings.registry_port != 443 else f"{settings.endpoint}:443"
    values = {
        "job": JOB,
        "account": account,
        "target": target,
        "periods": PERIODS[settings.registry_timer],
        "every": settings.registry_timer,
        "backup_days": settings.registry_backup_days if backups else None,
        "little": GIB,
        # Prometheus' own templates.
        "value": "{{ $value | humanizeDuration }}",
        "number": '{{ $value | printf "%.0f" }}',
    }
    render = environment(templates).get_template
    rules = render("monitoring/rules.yml.j2").render(values)
    return Monitoring(
        account,
        target,
        render("monitoring/prometheus.yml.j2").render(values),
        rules,
        yaml.safe_load(rules)["groups"],
        (Path(templates) / "monitoring/dashboard.json").read_text(),
    )


def files(found: Monitoring, password: str, ca_pem: str) -> dict[str, str]:
    """Return the text of each file by its name: all in one folder, where Prometheus can be started."""
    return {
        CONFIGURATION: found.configuration,
        RULES: found.rules_text,
        DASHBOARD: found.dashboard,
        PASSWORD: f"{password}\n",
        CA: ca_pem,
    }
