"""`make verify` of a cluster: it passes and leaves nothing, and what is wrong there is named, with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench.cluster import CONTROL, Cluster
from tests.fleet.deployment import Deployment

NAME = "registry.homelab.local"
SECRET = "registry-credentials"
OURS = "tests/verify/test_cluster_control.py"


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that nobody chose."""
    with cluster.namespace("hanging") as name:
        yield name


def said(deployment: Deployment, test: str) -> str:
    """Run one test of the verification, which has to fail, and return its line."""
    done = deployment.verify("-k", f"test_cluster_control and {test}")
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.endswith(f"[{test}[{CONTROL}]]"))
    return line


def test_it_passes_and_leaves_nothing(cluster: Cluster, deployment: Deployment) -> None:
    before = sorted(each["metadata"]["name"] for each in cluster.get("namespaces")["items"])
    done = deployment.verify()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert cluster.get("pods", "-A", "-l", "homelab-verify")["items"] == []
    active = [
        each["metadata"]["name"]
        for each in cluster.get("namespaces")["items"]
        if each["status"]["phase"] == "Active"
    ]
    assert sorted(active) == before


def test_a_secret_of_another_password_is_named(cluster: Cluster, deployment: Deployment) -> None:
    auths = {"auths": {NAME: {"auth": "Y2x1c3Rlcjp3cm9uZw=="}}}  # cluster:wrong
    patch = json.dumps({"stringData": {".dockerconfigjson": json.dumps(auths)}})
    cluster.kubectl("patch", "secret", SECRET, "--type=merge", "--patch", patch)
    assert f"{SECRET} in default does not log in (401); run make deploy" in said(
        deployment, "test_the_secret_logs_in_and_cannot_push"
    )
    assert "its content is not as it should be; run make deploy" in said(deployment, "test_it_is_as_deployed")
    line = said(deployment, "test_pods_pull_and_run_on_every_node")
    assert "in default on " in line
    assert "registry_pull_secret_namespaces" in line
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    done = deployment.verify(OURS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_node_that_is_not_in_the_inventory_is_named(cluster: Cluster, deployment: Deployment) -> None:
    whole = deployment.inventory.read_text()
    groups = {"registry": [CONTROL], "cluster_nodes": ["node16"], "cluster_control": [CONTROL]}
    deployment.inventory.write_text(cluster.fleet.inventory(groups))
    try:
        ran = deployment.run()
        assert ran.exit_code == 0, ran.output
        assert f"not in cluster_nodes: {cluster.nodes['node23'].name}" in ran.output
        line = said(deployment, "test_every_node_is_in_the_inventory")
    finally:
        deployment.inventory.write_text(whole)
    assert f"the cluster's nodes {cluster.nodes['node23'].name} are not in cluster_nodes" in line


def test_a_pod_that_hangs_is_named_with_what_helps(
    cluster: Cluster, deployment: Deployment, namespace: str
) -> None:
    container = {"name": "app", "image": f"{NAME}/nowhere/app:v1", "imagePullPolicy": "Always"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hangs", "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    cluster.apply(pod)
    reason = "{.status.containerStatuses[0].state.waiting.message}"
    cluster.kubectl("wait", "-n", namespace, f"--for=jsonpath={reason}", "--timeout=90s", "pod/hangs")
    line = said(deployment, "test_no_pod_waits_for_an_image_of_ours")
    assert f"pod hangs in {namespace} on " in line
    assert f"take {namespace} into registry_pull_secret_namespaces" in line
