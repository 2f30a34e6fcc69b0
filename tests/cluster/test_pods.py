"""The contract's pod, word for word: it runs on each node with the pull secret, and without it the login is refused."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests import pages
from tests.bench.cluster import ADMIN, Cluster
from tests.cluster.contract import IMAGE, NAME, POD, SECRET, password, push
from tests.fleet.deployment import Deployment

UNAUTHENTICATED = ("no basic auth credentials", "401 Unauthorized", "authorization failed")
UNTRUSTED = "certificate signed by unknown authority"


@pytest.fixture(scope="module", autouse=True)
def _pushed(cluster: Cluster, deployment: Deployment) -> None:
    push(cluster, deployment)


@pytest.fixture
def namespaces(cluster: Cluster) -> Iterator[dict[str, str]]:
    """A namespace of the test's own for each node."""
    token = secrets.token_hex(4)
    with ExitStack() as closing:
        yield {node: closing.enter_context(cluster.namespace(f"{node}-{token}")) for node in cluster.nodes}


def give_secret(cluster: Cluster, namespace: str, login: str) -> None:
    """Create the contract's pull secret from `NAME:PASSWORD`."""
    config = json.dumps({"auths": {NAME: {"auth": base64.b64encode(login.encode()).decode()}}})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
    }
    cluster.apply(secret)


@contextmanager
def no_node_but(cluster: Cluster, node: str) -> Iterator[None]:
    """Leave the scheduler one node for pods that name none."""
    others = [host.name for name, host in cluster.nodes.items() if name != node]
    cluster.kubectl("cordon", *others)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", *others)


def apply_pod(cluster: Cluster, namespace: str, node: str) -> None:
    with no_node_but(cluster, node):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=POD)
        scheduled = "--for=condition=PodScheduled"
        cluster.kubectl("wait", "-n", namespace, scheduled, "--timeout=30s", "pod/myapp")


def runs(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Wait until the pod runs, and return it."""
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=90s", "pod/myapp")
    pod: dict[str, Any] = cluster.get("-n", namespace, "pod", "myapp")
    return pod


def as_admin(cluster: Cluster, command: str) -> str:
    """Run a command with kubectl in it as it is pasted, and return what it prints."""
    return cluster.control.run(f"export KUBECONFIG={ADMIN}; {command}").stdout


def refusal(cluster: Cluster, namespace: str) -> str:
    """Wait until the pull of the pod's image fails, and return the kubelet's message."""
    waiting = "{.status.containerStatuses[0].state.waiting.message}"
    cluster.kubectl("wait", "-n", namespace, f"--for=jsonpath={waiting}", "--timeout=90s", "pod/myapp")
    (container,) = cluster.get("-n", namespace, "pod", "myapp")["status"]["containerStatuses"]
    assert container["state"]["waiting"]["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    return str(container["state"]["waiting"]["message"])


def test_the_contract_s_pod_runs_on_each_node(
    cluster: Cluster, deployment: Deployment, namespaces: dict[str, str]
) -> None:
    for node, namespace in namespaces.items():
        give_secret(cluster, namespace, f"cluster:{password(deployment, 'cluster')}")
        apply_pod(cluster, namespace, node)
    pushed = cluster.control.run(f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {IMAGE}").stdout
    for node, namespace in namespaces.items():
        pod = runs(cluster, namespace)
        assert pod["spec"]["nodeName"] == cluster.nodes[node].name
        assert pod["status"]["phase"] == "Running"
        (container,) = pod["status"]["containerStatuses"]
        assert container["image"] == IMAGE
        assert pushed == f"{NAME}/myapp@{container['imageID'].partition('@')[2]}\n"


def test_without_the_secret_the_login_is_missing_even_if_the_node_has_the_image(
    cluster: Cluster, deployment: Deployment, namespaces: dict[str, str]
) -> None:
    for node, namespace in namespaces.items():
        assert IMAGE in cluster.nodes[node].run("ctr -n k8s.io images ls -q").stdout
        apply_pod(cluster, namespace, node)
    describe = pages.line("docs/by-task.md", "kubectl describe pod ")
    for namespace in namespaces.values():
        said = refusal(cluster, namespace)
        described = as_admin(cluster, describe.replace("POD", f"-n {namespace} myapp"))
        assert any(each in described for each in UNAUTHENTICATED), described
        assert any(each in said for each in UNAUTHENTICATED), said
        assert UNTRUSTED not in said
        give_secret(cluster, namespace, f"cluster:{password(deployment, 'cluster')}")
    for namespace in namespaces.values():
        runs(cluster, namespace)


def test_the_readme_s_deployment_runs(cluster: Cluster, deployment: Deployment) -> None:
    """In the namespace `default`, which has the pull secret."""
    push(cluster, deployment, f"{NAME}/apps/web:1")
    create = pages.line("README.md", "kubectl create deployment ")
    as_admin(cluster, create.replace("registry.home.arpa", NAME))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    cluster.kubectl("delete", "deployment", "web", "--cascade=foreground")


def test_without_our_files_the_certificate_is_rejected_and_a_run_fixes_it(
    cluster: Cluster, deployment: Deployment, namespaces: dict[str, str]
) -> None:
    for node, namespace in namespaces.items():
        cluster.nodes[node].run(f"rm -r /etc/containerd/certs.d/{NAME} && ctr -n k8s.io images rm {IMAGE}")
        give_secret(cluster, namespace, f"cluster:{password(deployment, 'cluster')}")
        apply_pod(cluster, namespace, node)
    for namespace in namespaces.values():
        assert UNTRUSTED in refusal(cluster, namespace)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    for namespace in namespaces.values():
        runs(cluster, namespace)
