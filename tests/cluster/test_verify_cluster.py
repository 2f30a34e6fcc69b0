"""`make verify` on a cluster: it passes and leaves nothing behind, and names what is wrong with the remedy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests import pages
from tests.bench.cluster import ADMIN, CONTROL, KUBECTL, Cluster
from tests.cluster.coredns import serving
from tests.fleet.deployment import Deployment

NAME = "registry.homelab.local"
SECRET = "registry-credentials"
OURS = ("-k", "test_cluster_control")


@pytest.fixture(scope="module")
def said(cluster: Cluster, deployment: Deployment) -> dict[str, str]:
    """The verification's lines, by test, on a cluster with several things wrong at once, which a run fixes afterwards.

    The secret has another password, a node is not in the inventory, and a pod waits in a namespace that was not chosen.
    """
    whole = deployment.inventory.read_text()
    groups = {"registry": [CONTROL], "cluster_nodes": ["node16"], "cluster_control": [CONTROL]}
    deployment.inventory.write_text(cluster.fleet.inventory(groups))
    try:
        ran = deployment.run()
        assert ran.exit_code == 0, ran.output
        assert f"not in cluster_nodes: {cluster.nodes['node23'].name}" in ran.output
        auths = {"auths": {NAME: {"auth": "Y2x1c3Rlcjp3cm9uZw=="}}}  # cluster:wrong
        patch = json.dumps({"stringData": {".dockerconfigjson": json.dumps(auths)}})
        cluster.kubectl("patch", "secret", SECRET, "--type=merge", "--patch", patch)
        with cluster.namespace("hanging") as namespace:
            hang(cluster, namespace)
            done = deployment.verify(*OURS)
    finally:
        deployment.inventory.write_text(whole)
    assert done.returncode == 1, done.stdout + done.stderr
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return lines(done.stdout)


def lines(output: str) -> dict[str, str]:
    """Return the verification's lines by test."""
    found = (line.rpartition("  [") for line in output.splitlines() if line.endswith(f"[{CONTROL}]]"))
    return {test.removesuffix(f"[{CONTROL}]]"): line for line, _, test in found}


def hang(cluster: Cluster, namespace: str) -> None:
    """Start a pod that waits for an image that it may not pull."""
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


def test_a_secret_of_another_password_is_named(said: dict[str, str]) -> None:
    assert (
        f"{SECRET} in default has a login that is refused (401); run make deploy"
        in said["test_the_secret_logs_in_and_cannot_push"]
    )
    assert "its content is not as it should be; run make deploy" in said["test_it_is_as_deployed"]
    line = said["test_pods_pull_and_run_on_every_node"]
    assert "in default on " in line
    assert "registry_pull_secret_namespaces" in line


def test_a_node_that_is_not_in_the_inventory_is_named(cluster: Cluster, said: dict[str, str]) -> None:
    line = said["test_every_node_is_in_the_inventory"]
    assert f"the cluster's nodes {cluster.nodes['node23'].name} are not in cluster_nodes" in line


def test_a_waiting_pod_is_named_with_the_remedy(said: dict[str, str]) -> None:
    line = said["test_no_pod_waits_for_an_image_of_ours"]
    assert "pod hangs in hanging on " in line
    assert "add hanging to registry_pull_secret_namespaces" in line


def test_what_is_right_is_not_named(said: dict[str, str]) -> None:
    assert "test_without_the_secret_the_login_is_missing_and_not_the_trust" not in said


def test_a_pod_that_somebody_removes_is_reported(cluster: Cluster, deployment: Deployment) -> None:
    """While its kubelet is stopped, a node's pods wait until somebody removes them."""
    node = cluster.nodes["node23"]
    node.run("systemctl stop kubelet")
    with ThreadPoolExecutor(1) as pool:
        verified = pool.submit(deployment.verify, "-k", "test_pods_pull_and_run_on_every_node")
        found = [
            "-n",
            "default",
            "pods",
            "-l",
            "homelab-verify",
            f"--field-selector=spec.nodeName={node.name}",
        ]
        there = f"{KUBECTL} --kubeconfig={ADMIN} get -o name {shlex.join(found)} | grep -q ."
        cluster.control.wait_until(there, 60, "the verification's pod")
        cluster.kubectl("delete", *found, "--grace-period=0", "--force")
        done = verified.result()
    node.run(pages.in_text("docs/messages.md", "systemctl restart kubelet"))
    assert done.returncode == 1, done.stdout + done.stderr
    line = lines(done.stdout)["test_pods_pull_and_run_on_every_node"]
    assert "in default was removed while the verification waited for it" in line


def test_it_passes_and_leaves_nothing(cluster: Cluster, deployment: Deployment) -> None:
    """Even if a node is tainted so that nothing may run there."""
    before = active_namespaces(cluster)
    node = cluster.nodes["node16"].name
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "nodes", "--all")
    cluster.kubectl("taint", "node", node, "bench=alone:NoExecute")
    done = deployment.verify("-k", "test_cluster_control or test_cluster_nodes")
    cluster.kubectl("taint", "node", node, "bench-")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert cluster.get("pods", "-A", "-l", "homelab-verify")["items"] == []
    assert active_namespaces(cluster) == before


DNS = """
import socket, sys
listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.bind((sys.argv[1], 5353))
while True:
    query, client = listening.recvfrom(512)
    known = sys.argv[2:]
    record = b"\\xc0\\x0c" + bytes([0, 1, 0, 1, 0, 0, 0, 9, 0, 4]) + socket.inet_aton(known[0]) if known else b""
    header = query[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83") + bytes([0, 1, 0, len(known), 0, 0, 0, 0])
    listening.sendto(header + query[12:] + record, client)
"""
"""A DNS server that knows one address for every name, or none."""


@pytest.mark.parametrize(
    ("known", "code", "said"),
    [
        (
            "",
            0,
            f"pods cannot resolve {NAME}, which builds in pods need (pulls do not); give the cluster's DNS ",
        ),
        ("192.0.2.66", 1, f"pods resolve {NAME} to 192.0.2.66; give the cluster's DNS "),
        (None, 0, f"whether pods can resolve {NAME} was not asked"),
        ("by CoreDNS", 0, ""),
    ],
)
def test_what_pods_resolve_the_name_to_is_said(
    cluster: Cluster, deployment: Deployment, known: str | None, code: int, said: str
) -> None:
    """A server on the control host is listed as the cluster's DNS: a small one, or CoreDNS as the page has it."""
    address = cluster.control.address
    port = 53 if known == "by CoreDNS" else 5353
    listed = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "addressType": "IPv4",
        "ports": [{"name": "dns", "protocol": "UDP", "port": port}],
        "endpoints": [{"addresses": [address]}],
    }
    cluster.apply(listed)
    server = serving(cluster, address) if known == "by CoreDNS" else small_server(cluster, known)
    with server:
        done = deployment.verify("-k", "test_pods_resolve_the_names")
    cluster.kubectl("delete", "-n", "kube-system", "endpointslice", "dns")
    assert done.returncode == code, done.stdout + done.stderr
    assert (said or "1 passed") in done.stdout
    assert ("pods" in done.stdout) is bool(said)


@contextmanager
def small_server(cluster: Cluster, known: str | None) -> Iterator[None]:
    """Run the DNS server that knows one address for every name, or none; None: run no server."""
    if known is not None:
        cluster.control.write("/run/dns.py", DNS)
        cluster.control.run(
            f"systemd-run -q --unit=dns python3 /run/dns.py {cluster.control.address} {known}"
        )
        cluster.control.wait_until("ss -lun | grep -q :5353", 30, "the DNS server")
    yield
    if known is not None:
        cluster.control.run("systemctl stop dns")


def active_namespaces(cluster: Cluster) -> list[str]:
    """Return the namespaces that are not terminating."""
    found = cluster.get("namespaces", "--field-selector=status.phase=Active")["items"]
    return sorted(each["metadata"]["name"] for each in found)
