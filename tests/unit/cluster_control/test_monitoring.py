"""What the cluster's Prometheus gets to watch the registry, where, and what is taken back."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tasks.accounts.logins import Login
from tasks.cluster_control import monitoring, watching
from tasks.cluster_control import plan as cluster_control
from tasks.cluster_control.facts import ClusterFact
from tasks.cluster_control.monitoring import Operator, Watched
from tasks.cluster_control.plan import Plan
from tasks.cluster_control.pull_secrets import ExistingObject, Kind, Ref
from tasks.metrics.monitoring import monitoring as texts
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tests.unit.cluster_control.test_plan import TARGET, cluster, existing

SETTINGS = Settings(registry_metrics=True)
FOUND = texts(SETTINGS, str(ROOT / "templates"), backups=False)
WATCHED = Watched(FOUND, Login("metrics", "hunter2"), "CA\n", "10.0.0.7", "registry.homelab.local")
KINDS: dict[Kind, monitoring.State] = {"ScrapeConfig": "there", "PrometheusRule": "there"}
LABELS: dict[Kind, Mapping[str, str]] = {"ScrapeConfig": {}, "PrometheusRule": {"release": "kps"}}
EMPTY = Operator("watch", LABELS, KINDS)
SECRET, DASHBOARD = monitoring.contents(WATCHED)
SCRAPE, RULE = (Ref(kind, "watch", "homelab-registry") for kind in KINDS)


def with_all(operator: Operator) -> cluster_control.Cluster:
    """A cluster that has all of it."""
    objects = {
        Ref("Secret", "watch", SECRET.name): existing(SECRET),
        Ref("ConfigMap", "watch", DASHBOARD.name): existing(DASHBOARD),
    }
    found = cluster("default")
    return replace(
        found,
        namespaces={**found.namespaces, "watch": False},
        objects={**found.objects, **objects},
        operator=replace(operator, objects=monitoring.manifests(WATCHED, EMPTY)),
    )


def planned(found: cluster_control.Cluster, watched: Watched | None = WATCHED) -> Plan:
    result = cluster_control.plan(SETTINGS if watched else Settings(), TARGET, found)
    watching.watch(watched, found, result)
    return result


def lines(result: Plan) -> list[str]:
    text = cluster_control.text(result.changes).splitlines()
    return [
        line for line in text if "local-registry-hosting" not in line and "registry-credentials" not in line
    ]


def bare(operator: Operator | None) -> cluster_control.Cluster:
    found = cluster("default")
    return replace(found, namespaces={**found.namespaces, "watch": False}, operator=operator)


def test_a_cluster_with_a_prometheus_gets_login_dashboard_and_objects() -> None:
    result = planned(bare(EMPTY))
    assert lines(result) == [
        "write the login of Prometheus as Secret homelab-registry-metrics in watch: it is missing",
        "write the dashboard as ConfigMap homelab-registry-dashboard in watch: it is missing",
        "write the ScrapeConfig homelab-registry in watch: it is missing",
        "write the PrometheusRule homelab-registry in watch: it is missing",
    ]
    made: dict[str, Any] = {change.ref.kind: change.manifest for change in result.changes}
    assert made["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["ConfigMap"]["data"]["homelab-registry.json"])["uid"] == "homelab-registry"
    assert b64decode(made["Secret"]["data"]["password"]) == b"hunter2"
    assert {
        kind: each["metadata"]["labels"]["app.kubernetes.io/managed-by"] for kind, each in made.items()
    } == dict.fromkeys(made, "homelab-registry")
    assert made["PrometheusRule"]["metadata"]["labels"]["release"] == "kps"
    assert made["PrometheusRule"]["spec"]["groups"] == yaml.safe_load(FOUND.rules_text)["groups"]
    spec = made["ScrapeConfig"]["spec"]
    assert spec["staticConfigs"] == [
        {
            "targets": ["10.0.0.7:443"],
            "labels": {"job": "homelab-registry", "instance": "registry.homelab.local:443"},
        }
    ]
    assert spec["tlsConfig"]["serverName"] == "registry.homelab.local"
    assert "hunter2" not in json.dumps(made["ScrapeConfig"])
    assert "hunter2" not in repr(WATCHED)


def test_a_cluster_that_has_all_of_it_needs_nothing() -> None:
    assert lines(planned(with_all(EMPTY))) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda spec: spec.update(scheme="HTTP"),
            ["write the ScrapeConfig homelab-registry in watch: its content is not as it should be"],
        ),
        (lambda spec: spec.update(scrapeClass="default"), []),
        (
            lambda spec: spec["staticConfigs"].append({"targets": ["other:1"]}),
            ["write the ScrapeConfig homelab-registry in watch: its content is not as it should be"],
        ),
        (
            lambda spec: spec.pop("basicAuth"),
            ["write the ScrapeConfig homelab-registry in watch: its content is not as it should be"],
        ),
    ],
)
def test_drift_is_undone_and_defaults_of_the_api_server_are_none(change: Any, expected: list[str]) -> None:
    found = with_all(EMPTY)
    assert found.operator
    objects = json.loads(json.dumps(dict(enumerate(found.operator.objects.values()))))
    change(objects["0"]["spec"])
    changed = replace(
        found.operator, objects=dict(zip(found.operator.objects, objects.values(), strict=True))
    )
    assert lines(planned(replace(found, operator=changed))) == expected


def test_switched_off_all_goes_and_the_secret_last() -> None:
    assert lines(planned(with_all(EMPTY), None)) == [
        "delete the ScrapeConfig homelab-registry from watch: registry_metrics is off",
        "delete the PrometheusRule homelab-registry from watch: registry_metrics is off",
        "delete the ConfigMap homelab-registry-dashboard from watch: registry_metrics is off",
        "delete the Secret homelab-registry-metrics from watch: registry_metrics is off",
    ]
    assert monitoring.is_left(with_all(EMPTY).objects)
    assert not monitoring.is_left(cluster("default").objects)


def test_what_was_not_looked_for_or_could_not_be_read_is_left() -> None:
    for operator in (None, replace(EMPTY, error="Error from server (Forbidden): no")):
        found = replace(with_all(EMPTY), operator=operator)
        assert lines(planned(found, None)) == []
        assert lines(planned(found)) == []
    result = planned(replace(with_all(EMPTY), operator=replace(EMPTY, error="no")))
    assert result.problems == [
        ("what the Prometheus operator has could not be read: no", "fix that and run again")
    ]


def test_a_prometheus_in_another_namespace_gets_all_and_the_former_place_loses_it() -> None:
    found = with_all(EMPTY)
    assert found.operator
    moved = replace(
        found,
        namespaces={**found.namespaces, "new": False},
        operator=replace(found.operator, namespace="new"),
    )
    assert [line for line in lines(planned(moved)) if line.startswith("write")] == [
        "write the login of Prometheus as Secret homelab-registry-metrics in new: it is missing",
        "write the dashboard as ConfigMap homelab-registry-dashboard in new: it is missing",
        "write the ScrapeConfig homelab-registry in new: it is missing",
        "write the PrometheusRule homelab-registry in new: it is missing",
    ]
    assert lines(planned(moved))[-1] == (
        "delete the Secret homelab-registry-metrics from watch: no Prometheus is in that namespace"
    )


def test_without_a_prometheus_nothing_is_written_and_a_note_says_so() -> None:
    alone = Operator(kinds=KINDS)
    result = planned(bare(alone))
    assert lines(result) == []
    assert ["the cluster has the Prometheus operator but no Prometheus" in note for note in result.notes] == [
        True
    ]
    none: dict[Kind, monitoring.State] = dict.fromkeys(KINDS, "absent")
    assert planned(bare(Operator(kinds=none))).notes == []


def test_an_older_operator_gets_the_rules_alone() -> None:
    older = replace(EMPTY, kinds={"ScrapeConfig": "absent", "PrometheusRule": "there"})
    assert not [line for line in lines(planned(bare(older))) if "ScrapeConfig" in line]


def test_what_is_not_ours_stays() -> None:
    foreign = ExistingObject("Opaque", "helm", "2026-11-27T07:00:00Z", ("helm",), "")
    found = bare(EMPTY)
    found = replace(found, objects={**found.objects, Ref("Secret", "watch", SECRET.name): foreign})
    result = planned(found)
    assert not [change for change in result.changes if change.ref.name == SECRET.name]
    assert "is not ours (created 2026-11-27 by helm" in result.problems[0][0]


def encoded(*items: Any) -> str:
    return b64encode(json.dumps({"items": list(items)}).encode()).decode()


PROMETHEUS = {
    "metadata": {"namespace": "watch", "name": "kps"},
    "spec": {"ruleSelector": {"matchLabels": {"release": "kps"}}, "scrapeConfigSelector": {}},
}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], None),
        (
            [f"operator|prometheuses|{encoded(PROMETHEUS)}", f"operator|scrapeconfigs|{encoded()}", f"operator|prometheusrules|{encoded()}"],
            EMPTY,
        ),
        (
            ["operator|prometheuses|absent", "operator|scrapeconfigs|absent", "operator|prometheusrules|absent"],
            Operator(kinds={"ScrapeConfig": "absent", "PrometheusRule": "absent"}),
        ),
        (
            [
                "operator|prometheuses|unknown", "operator_error|Error: may|be", "operator|scrapeconfigs|absent",
                f"operator|prometheusrules|{encoded({'metadata': {'namespace': 'a', 'name': 'b'}})}",
            ],
            Operator(
                kinds={"ScrapeConfig": "absent", "PrometheusRule": "there"},
                objects={Ref("PrometheusRule", "a", "b"): {"metadata": {"namespace": "a", "name": "b"}}},
                error="Error: may|be",
            ),
        ),
    ],
)  # fmt: skip
def test_what_the_cluster_answers_is_read(rows: list[str], expected: Operator | None) -> None:
    answer = ["kubectl|kubectl|/c", *rows, "complete|yes", "end"]
    assert ClusterFact().process(answer).operator == expected


@pytest.mark.parametrize(
    ("kubectl", "rows"),
    [
        ("echo '{\"items\": []}'", [f"operator|{kind}|" + b64encode(b'{"items": []}').decode() for kind in ("prometheuses", "scrapeconfigs", "prometheusrules")]),
        (
            'echo "error: the server doesn\'t have a resource type \\"x\\"" >&2; exit 1',
            [f"operator|{kind}|absent" for kind in ("prometheuses", "scrapeconfigs", "prometheusrules")],
        ),
        (
            "echo; echo 'Error from server (Forbidden): no' >&2; echo more >&2; exit 1",
            [line for kind in ("prometheuses", "scrapeconfigs", "prometheusrules") for line in (f"operator|{kind}|unknown", "operator_error|Error from server (Forbidden): no")],
        ),
    ],
)  # fmt: skip
def test_the_script_tells_absent_from_unknown(kubectl: str, rows: list[str]) -> None:
    script = f"found=kubectl config=\nkubectl() {{ ({kubectl}); }}\n{monitoring.LOOK}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == rows
