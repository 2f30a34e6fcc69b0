"""What the cluster's Prometheus gets to watch the registry.

The operator itself is not in Debian: its kinds are here without their schemas, of the same groups, versions and names.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.cluster_control.pull_secrets import document
from tests.cluster.served import ALL, OURS, Served

GROUP = "monitoring.coreos.com"
KINDS = {"Prometheus": "prometheuses", "ScrapeConfig": "scrapeconfigs", "PrometheusRule": "prometheusrules"}
VERSIONS = {"Prometheus": "v1", "ScrapeConfig": "v1alpha1", "PrometheusRule": "v1"}
ON = {**ALL, "registry_metrics": True}
WHERE = "team-005"


def definition(kind: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": VERSIONS[kind], "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": KINDS[kind], "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{KINDS[kind]}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


PROMETHEUS = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "Prometheus",
    "metadata": {"name": "kps", "namespace": WHERE},
    "spec": {"ruleSelector": {"matchLabels": {"release": "kps"}}, "scrapeConfigSelector": {}},
}


@pytest.fixture
def operator(served: Served) -> Iterator[None]:
    """The operator's kinds, and a Prometheus."""
    kubectl = served.cluster.kubectl
    kubectl("create", "-f", "-", stdin=document([definition(kind) for kind in KINDS]))
    kubectl("wait", "--for=condition=Established", "crd", *(f"{name}.{GROUP}" for name in KINDS.values()))
    kubectl("create", "-f", "-", stdin=document([PROMETHEUS]))
    yield
    kubectl("delete", "crd", *(f"{name}.{GROUP}" for name in KINDS.values()))


def ours(served: Served, kind: str) -> list[dict[str, Any]]:
    return list(served.cluster.get(kind, "-n", WHERE, "-l", OURS)["items"])


@pytest.mark.usefixtures("settled", "operator")
def test_the_cluster_s_prometheus_watches_the_registry_until_metrics_are_off(served: Served) -> None:
    ran = served.run(**ON)
    assert ran.exit_code == 0, ran.output
    assert served.calls == ["get"] * 4 + ["apply"]
    (scrape,) = ours(served, f"scrapeconfigs.{GROUP}")
    (rule,) = ours(served, f"prometheusrules.{GROUP}")
    secret = served.cluster.get("secret", "homelab-registry-metrics", "-n", WHERE)
    dashboard = served.cluster.get("configmap", "homelab-registry-dashboard", "-n", WHERE)
    password = (served.deployment.folder / "state/accounts/metrics.password").read_text().strip()
    assert b64decode(secret["data"]["password"]).decode() == password
    assert password not in ran.output + json.dumps([scrape, rule, dashboard])
    assert scrape["spec"]["tlsConfig"]["serverName"] == "registry.homelab.local"
    assert "RegistryRefusedLogins" in json.dumps(rule["spec"])
    assert rule["metadata"]["labels"]["release"] == "kps"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"

    again = served.run(**ON)
    assert (again.steps, served.calls) == ([], ["get"] * 4)

    change = '{"spec": {"scheme": "HTTP", "scrapeClass": "mine"}}'
    served.cluster.kubectl(
        "patch", "scrapeconfig", "homelab-registry", "-n", WHERE, "--type=merge", "-p", change
    )
    served.cluster.kubectl("delete", "prometheusrule", "homelab-registry", "-n", WHERE)
    assert served.run(**ON).steps == [
        f"write the ScrapeConfig homelab-registry in {WHERE}: its content is not as it should be",
        f"write the PrometheusRule homelab-registry in {WHERE}: it is missing",
    ]
    (scrape,) = ours(served, f"scrapeconfigs.{GROUP}")
    assert (scrape["spec"]["scheme"], scrape["spec"]["scrapeClass"]) == ("HTTPS", "mine")

    off = served.run(**ALL)
    assert off.exit_code == 0, off.output
    assert [line for line in off.steps if f"from {WHERE}" in line] == [
        f"delete the ScrapeConfig homelab-registry from {WHERE}: registry_metrics is off",
        f"delete the PrometheusRule homelab-registry from {WHERE}: registry_metrics is off",
        f"delete the ConfigMap homelab-registry-dashboard from {WHERE}: registry_metrics is off",
        f"delete the Secret homelab-registry-metrics from {WHERE}: registry_metrics is off",
    ]
    assert ours(served, f"scrapeconfigs.{GROUP},prometheusrules.{GROUP}") == []
