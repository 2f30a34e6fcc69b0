"""A CA rollover in a cluster: pods can pull on each node at every stage, and builders find what to trust."""

from __future__ import annotations

import secrets

import pytest

from tests.bench.cluster import Cluster
from tests.cluster.contract import IMAGE, password, push
from tests.cluster.test_pods import apply_pod, give_secret, runs
from tests.fleet.deployment import Deployment

ROTATE, RETIRE = "deploys/rotate_ca.py", "deploys/retire_ca.py"


@pytest.fixture(scope="module", autouse=True)
def _pushed(cluster: Cluster, deployment: Deployment) -> None:
    push(cluster, deployment)


def pods_run(cluster: Cluster, deployment: Deployment) -> None:
    """Run the contract's pod on each node, which does not have its image."""
    for node, host in cluster.nodes.items():
        with cluster.namespace(f"rollover-{secrets.token_hex(4)}") as namespace:
            give_secret(cluster, namespace, f"cluster:{password(deployment, 'cluster')}")
            host.run(f"ctr -n k8s.io images rm {IMAGE}", check=False)
            apply_pod(cluster, namespace, node)
            runs(cluster, namespace)


def of_builders(cluster: Cluster) -> str:
    """Return what the ConfigMap has, as kubectl reads it."""
    found = cluster.get("configmap", "homelab-registry-ca", "-n", "default")
    return str(found["data"]["ca.crt"])


def started(cluster: Cluster) -> list[str]:
    """When each node's containerd was started."""
    show = "systemctl show -p InvocationID --value containerd"
    return [host.run(show).stdout for host in cluster.nodes.values()]


def test_pods_pull_at_every_stage(cluster: Cluster, deployment: Deployment) -> None:
    before, old = started(cluster), deployment.store.read().authority
    assert old
    pods_run(cluster, deployment)
    ran = deployment.run(deploy=ROTATE)
    assert ran.exit_code == 0, ran.output
    successor = deployment.store.read().successor
    assert successor
    assert successor.issuing_since
    new = successor.ca.certificate_pem
    assert of_builders(cluster) == old.certificate_pem + new
    pods_run(cluster, deployment)
    verified = deployment.verify("tests/verify/test_cluster_control.py", "tests/verify/test_tls.py")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    ran = deployment.run(deploy=RETIRE)
    assert ran.exit_code == 0, ran.output
    assert deployment.store.read().successor is None
    assert of_builders(cluster) == new
    pods_run(cluster, deployment)
    assert started(cluster) == before
    assert deployment.run().steps == []
