"""The bench's cluster is a real one: its versions, its pods, who may do what in it, and how it ends and begins again."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from tests.bench.cluster import ADMIN, Cluster
from tests.bench.cluster_node import import_waiting_image
from tests.bench.hosts import BenchHost, Result

NODES = pytest.mark.parametrize("node", ["node16", "node23"])
IMAGE = "bench.invalid/app:1"


def pod(name: str, host: str, policy: str = "IfNotPresent") -> dict[str, Any]:
    """A pod that runs `IMAGE` on one node, where the scheduler has to put it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": host},
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "app", "image": IMAGE, "imagePullPolicy": policy}],
        },
    }


def running(host: BenchHost, container: str) -> str:
    """Return the process of a container, by what containerd itself says; nothing if it does not run."""
    name = container.removeprefix("containerd://")
    found = re.search(rf"^{name} +(\d+) +RUNNING", host.run("ctr -n k8s.io tasks ls").stdout, re.M)
    return found[1] if found else ""


@pytest.mark.parametrize(("node", "containerd"), [("node16", "1.6."), ("node23", "2.3.7")])
def test_a_node_is_ready_and_of_its_versions(cluster: Cluster, node: str, containerd: str) -> None:
    host = cluster.nodes[node]
    status = cluster.get("node", host.name)["status"]
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "True"
    assert status["nodeInfo"]["kubeletVersion"] == "v1.35.4"
    version = status["nodeInfo"]["containerRuntimeVersion"].removeprefix("containerd://").removeprefix("v")
    assert version.startswith(containerd)
    addresses = {each["type"]: each["address"] for each in status["addresses"]}
    assert addresses == {"InternalIP": host.address, "Hostname": host.name}


def test_client_and_server_are_of_the_version(cluster: Cluster) -> None:
    told = cluster.kubectl("version").stdout.splitlines()
    assert told[0] == "Client Version: v1.35.4"
    assert told[-1] == "Server Version: v1.35.4"


@NODES
def test_a_pod_with_an_image_that_is_there_runs_and_ends(cluster: Cluster, node: str) -> None:
    host, name = cluster.nodes[node], f"local-{node}"
    import_waiting_image(host, IMAGE)
    cluster.kubectl("wait", "--for=create", "--timeout=30s", "serviceaccount/default")
    cluster.apply(pod(name, host.name))
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"pod/{name}")
    status = cluster.get("pod", name)["status"]
    (container,) = status["containerStatuses"]
    process = running(host, container["containerID"])
    assert process
    inside = host.run(f"nsenter -t {process} -n ip -4 -o addr show dev eth0").stdout
    assert f" inet {status['podIP']}/24 " in inside
    assert host.read(f"/proc/{process}/comm") == "waits\n"
    cluster.kubectl("delete", "pod", name, "--timeout=60s")
    assert not running(host, container["containerID"])


@NODES
def test_the_api_server_reaches_the_kubelet_which_has_its_check_of_credentials(
    cluster: Cluster, node: str
) -> None:
    path = f"/api/v1/nodes/{cluster.nodes[node].name}/proxy"
    config = cluster.kubectl("get", "--raw", f"{path}/configz").stdout
    assert '"imagePullCredentialsVerificationPolicy":"NeverVerifyPreloadedImages"' in config
    metrics = cluster.kubectl("get", "--raw", f"{path}/metrics").stdout
    (gate,) = re.findall(
        r'^kubernetes_feature_enabled\{name="KubeletEnsureSecretPulledImages".*\} (\d)$', metrics, re.M
    )
    assert gate == "1"


def test_a_user_with_few_rights_has_those_and_no_others(cluster: Cluster) -> None:
    nobody = cluster.login("nobody")
    refused = cluster.kubectl("get", "secrets", kubeconfig=nobody, check=False)
    assert refused.exit_code == 1
    assert 'secrets is forbidden: User "nobody" cannot list resource "secrets"' in refused.stderr

    cluster.kubectl("create", "clusterrolebinding", "readers", "--clusterrole=view", "--group=readers")
    reader = cluster.login("reader", "readers")

    def may(*what: str) -> Result:
        return cluster.kubectl("auth", "can-i", *what, kubeconfig=reader, check=False)

    assert may("list", "configmaps").stdout == "yes\n"
    assert may("list", "secrets").stdout == "no\n"
    cluster.kubectl("delete", "clusterrolebinding", "readers")
    assert may("list", "configmaps").stdout == "no\n"


def test_a_node_may_not_speak_for_another(cluster: Cluster) -> None:
    first, second = cluster.nodes.values()
    kubeconfig = cluster.login(f"system:node:{first.name}", "system:nodes")
    own = cluster.kubectl("label", "node", first.name, "bench=1", kubeconfig=kubeconfig)
    assert own.stdout == f"node/{first.name} labeled\n"
    other = cluster.kubectl("label", "node", second.name, "bench=1", kubeconfig=kubeconfig, check=False)
    assert other.exit_code == 1
    assert "only its own Node object" in other.stderr


def test_nobody_comes_in_without_a_certificate_of_the_cluster(cluster: Cluster) -> None:
    ask = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        f"{cluster.server}/api/v1/nodes",
    ]
    stranger = subprocess.run([*ask, "--insecure"], capture_output=True, text=True, check=True)
    assert stranger.stdout == "403"
    untrusted = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert untrusted.returncode == 60
    bearer = [*ask, "--insecure", "-H", "Authorization: Bearer tok-admin"]
    assert subprocess.run(bearer, capture_output=True, text=True, check=True).stdout == "401"


def test_keys_are_for_root_alone(cluster: Cluster) -> None:
    for host in (cluster.control, *cluster.nodes.values()):
        assert host.run("find /etc/kubernetes -type f ! -perm 0600").stdout == ""
    assert cluster.control.run(f"stat -c %U {ADMIN}").stdout == "root\n"


def test_the_api_server_stops_and_starts_and_nodes_stay(cluster: Cluster) -> None:
    cluster.stop_api_server()
    down = cluster.kubectl("get", "nodes", check=False)
    assert down.exit_code == 1
    assert "was refused" in down.stderr
    cluster.start_api_server()
    names = {each["metadata"]["name"] for each in cluster.get("nodes")["items"]}
    assert names == {host.name for host in cluster.nodes.values()}
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "nodes", "--all")
