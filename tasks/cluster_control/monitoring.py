"""What a Prometheus in the cluster needs to watch the registry, if the cluster has the Prometheus operator.

A secret with the login, a ConfigMap with the dashboard, and two objects of the operator, in the namespace of the
cluster's Prometheus, with the labels by which it selects them (prometheus-operator, "API reference").
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.accounts.logins import Login
from tasks.cluster_control.kubectl import MANAGER, NO_CONFIG
from tasks.cluster_control.pull_secrets import CA_KEY, MANAGED_BY, Content, ExistingObject, Kind, Ref
from tasks.metrics.monitoring import JOB, Monitoring
from tasks.remote.fact_scripts import Answer

GROUP = "monitoring.coreos.com"
SECRET, DASHBOARD, NAME = "homelab-registry-metrics", "homelab-registry-dashboard", "homelab-registry"
DASHBOARD_KEY = "homelab-registry.json"

OPERATOR_KINDS: dict[str, Kind] = {"scrapeconfigs": "ScrapeConfig", "prometheusrules": "PrometheusRule"}
API_VERSIONS: dict[Kind, str] = {"ScrapeConfig": f"{GROUP}/v1alpha1", "PrometheusRule": f"{GROUP}/v1"}

# A kind that the cluster does not know is no error.
LOOK = f"""
look_for() {{ # KIND OPTION...
    kind=$1
    shift
    if said=$(kubectl get "$kind.{GROUP}" -A "$@" -o json 2>&1); then
        echo "operator|$kind|$(printf %s "$said" | base64 -w 0)"
    else
        case $said in
            (*"the server doesn't have a resource type"*) echo "operator|$kind|absent" ;;
            (*) echo "operator|$kind|unknown"; printf '%s\\n' "$said" | sed -n '/./{{s/^/operator_error|/p;q}}' ;;
        esac
    fi
}}
if [ -n "$found" ] && [ "$config" != {NO_CONFIG} ]; then
    look_for prometheuses
    for each in {" ".join(OPERATOR_KINDS)}; do look_for "$each" -l {MANAGED_BY}={MANAGER}; done
fi
"""

State = Literal["absent", "unknown", "there"]


@dataclass(frozen=True)
class Operator:
    """The Prometheus operator in a cluster. `namespace` is that of its Prometheus, None if there is none.

    `labels` are those by which that selects an object, by kind. `kinds` says whether the cluster knows each kind,
    `objects` has ours. `error` is what kubectl said if any of it could not be read.
    """

    namespace: str | None = None
    labels: Mapping[Kind, Mapping[str, str]] = field(default_factory=dict)
    kinds: Mapping[Kind, State] = field(default_factory=dict)
    objects: Mapping[Ref, Mapping[str, Any]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Watched:
    """What is to be watched: the registry at `address`, under the name in its certificate, with a login."""

    found: Monitoring
    login: Login = field(repr=False)
    ca_pem: str
    address: str
    name: str


def read(answer: Answer) -> Operator | None:
    """Return the operator, None if it was not looked for. `ValueError` if what was read is no JSON."""
    rows = {kind: "|".join(text) for kind, *text in answer.all("operator")}
    if not rows:
        return None
    items = {
        kind: json.loads(b64decode(text))["items"] if text not in {"absent", "unknown"} else []
        for kind, text in rows.items()
    }
    states: dict[Kind, State] = {
        kind: text if (text := rows[name]) in {"absent", "unknown"} else "there"  # type: ignore[misc]
        for name, kind in OPERATOR_KINDS.items()
    }
    own = {
        Ref(kind, each["metadata"]["namespace"], each["metadata"]["name"]): each
        for name, kind in OPERATOR_KINDS.items()
        for each in items[name]
    }
    errors = ["|".join(text) for text in answer.all("operator_error")]
    error = errors[0] if errors else None
    first = min(
        items["prometheuses"],
        key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]),
        default=None,
    )
    if first is None:
        return Operator(kinds=states, objects=own, error=error)
    spec = first["spec"]
    labels: dict[Kind, Mapping[str, str]] = {
        "ScrapeConfig": (spec.get("scrapeConfigSelector") or {}).get("matchLabels") or {},
        "PrometheusRule": (spec.get("ruleSelector") or {}).get("matchLabels") or {},
    }
    return Operator(first["metadata"]["namespace"], labels, states, own, error)


def contents(watched: Watched) -> list[Content]:
    """Return the secret and the ConfigMap."""
    data = {"username": watched.login.account, "password": watched.login.password, CA_KEY: watched.ca_pem}
    encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
    dashboard = {DASHBOARD_KEY: watched.found.dashboard}
    return [
        Content("Secret", SECRET, encoded, "Opaque"),
        Content("ConfigMap", DASHBOARD, dashboard, labels={"grafana_dashboard": "1"}),
    ]


def manifests(watched: Watched, operator: Operator) -> dict[Ref, dict[str, Any]]:
    """Return the objects of the operator, of the kinds that the cluster knows. `LookupError` without a Prometheus."""
    if (namespace := operator.namespace) is None:
        raise LookupError("the cluster has no Prometheus")
    specs: dict[Kind, dict[str, Any]] = {
        "ScrapeConfig": _scrape_config(watched),
        "PrometheusRule": {"groups": watched.found.rules},
    }
    return {
        Ref(kind, namespace, NAME): {
            "apiVersion": API_VERSIONS[kind],
            "kind": kind,
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": {**operator.labels[kind], MANAGED_BY: MANAGER},
            },
            "spec": spec,
        }
        for kind, spec in specs.items()
        if operator.kinds[kind] == "there"
    }


def _scrape_config(watched: Watched) -> dict[str, Any]:
    """Pods do not know the registry's name: so its address is asked, for a certificate with the name."""
    port = watched.found.target.rpartition(":")[2]
    address = f"[{watched.address}]" if ":" in watched.address else watched.address
    labels = {"job": JOB, "instance": watched.found.target}
    return {
        "staticConfigs": [{"targets": [f"{address}:{port}"], "labels": labels}],
        "scheme": "HTTPS",
        "metricsPath": "/metrics",
        "scrapeInterval": "30s",
        "basicAuth": {key: {"name": SECRET, "key": key} for key in ("username", "password")},
        "tlsConfig": {"ca": {"secret": {"name": SECRET, "key": CA_KEY}}, "serverName": watched.name},
    }


def has(found: Any, wanted: Any) -> bool:
    """Return whether an object has all that is wanted. An API server adds defaults, which are no difference."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and has(found[key], wanted[key]) for key in wanted
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(has(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def is_left(objects: Mapping[Ref, ExistingObject]) -> bool:
    """Return whether there is a secret of ours for Prometheus: then there may be more."""
    return any(ref.name == SECRET and held.ours for ref, held in objects.items())
