"""Which runtimes of a node are served, and what it gets for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from tasks.accounts.logins import Login
from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.cluster_nodes import facts
from tasks.cluster_nodes import plan as cluster_nodes
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import containerd, containerd_config
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import HostSettings, Settings
from tasks.settings.types import RuntimeName
from tests.unit.cluster_nodes.runtimes.test_containerd import CA, NAME

CERTS, CONFIG = containerd_config.CERTS, containerd.CONFIG
ADDRESS = "192.168.1.10"
SETTINGS = Settings()
DATA = {"k3s": "/var/lib/rancher/k3s", "rke2": "/var/lib/rancher/rke2"}
DOCKERS = 'disabled_plugins = ["cri"]\n'
ENTRY = "write /etc/hosts: our entry is missing"


def node(*runtimes: str, config: str | None = None, started: Mapping[str, float] | None = None) -> Node:
    """A host with these runtimes and nothing of ours."""
    texts = {} if config is None else {CONFIG: config}
    client = ClientHost(HostsFile("127.0.0.1 localhost\n"))
    return Node(
        frozenset(runtimes),
        started or {},
        "1.6.20",
        CONFIG,
        DATA,
        dict.fromkeys(facts.paths([NAME])),
        texts,
        client,
    )


def served(found: Node, *given: Any) -> list[str]:
    return cluster_nodes.runtimes(HostSettings(registry_runtime=given or None), found)


def steps(found: Node, *runtimes: str, login: Login | None = None, docker_host: bool = False) -> list[Step]:
    wanted = NodeTarget(CA, ADDRESS, runtimes, login, is_docker_host=docker_host)
    return cluster_nodes.steps(SETTINGS, wanted, found)


# Which runtimes.


def test_the_setting_takes_the_runtimes_of_the_table() -> None:
    assert list(RUNTIMES) == list(get_args(RuntimeName))


@pytest.mark.parametrize(
    ("found", "given", "expected"),
    [
        (node("containerd"), [], ["containerd"]),
        (node("podman", "k3s", "crio", "containerd", "rke2"), [], ["k3s", "rke2", "containerd", "crio", "podman"]),
        (node("podman", "containerd", config=DOCKERS), [], ["podman"]),
        (node("podman", "containerd"), ["podman"], ["podman"]),
        (node("podman", "containerd"), ["podman", "containerd"], ["containerd", "podman"]),
        # Left for the one clear line that the runtime itself raises.
        (node("containerd", config=DOCKERS), [], ["containerd"]),
        (node("podman", "containerd", config=DOCKERS), ["containerd"], ["containerd"]),
    ],
)  # fmt: skip
def test_runtimes_are_those_found_or_those_set(found: Node, given: list[str], expected: list[str]) -> None:
    assert served(found, *given) == expected


@pytest.mark.parametrize(
    ("found", "given", "problem"),
    [
        (node(), [], "this host is in cluster_nodes, and has none of K3s, RKE2, containerd, CRI-O, Podman and Docker (for pods)"),
        (node(), ["k3s"], "registry_runtime names K3s, which this host does not have (it has none of the known ones)"),
        (node("podman", "containerd"), ["k3s", "podman", "crio"],
         "registry_runtime names K3s and CRI-O, which this host does not have (it has containerd and Podman)"),
    ],
)  # fmt: skip
def test_a_missing_runtime_is_one_line(found: Node, given: list[str], problem: str) -> None:
    with pytest.raises(Conflict) as raised:
        served(found, *given)
    assert raised.value.problem == problem


@pytest.mark.parametrize(
    ("found", "through", "given", "expected"),
    [
        (node("k3s"), {"k3s": "docker"}, [], ["docker"]),
        (node("k3s", "containerd", "podman"), {"k3s": "docker"}, [], ["containerd", "podman", "docker"]),
        (node("k3s"), {"k3s": "unix:///run/containerd/containerd.sock"}, [], ["containerd"]),
        (node("k3s"), {"k3s": "/run/crio/crio.sock"}, [], ["crio"]),
        (node("containerd", config=DOCKERS), {"kubelet": "unix:///var/run/cri-dockerd.sock"}, [], ["docker"]),
        (node("containerd", "podman"), {"kubelet": "unix:///run/cri-dockerd.sock"}, [], ["podman", "docker"]),
        (node("containerd"), {"kubelet": "unix:///run/cri-dockerd.sock"}, ["containerd"], ["containerd"]),
        (node("containerd", "crio"), {"kubelet": "unix:///run/containerd/containerd.sock"}, [], ["containerd", "crio"]),
    ],
)  # fmt: skip
def test_what_a_cluster_does_not_pull_through_is_not_served(
    found: Node, through: dict[str, str], given: list[str], expected: list[str]
) -> None:
    assert served(replace(found, through=through), *given) == expected


def test_a_runtime_that_is_not_known_is_one_line() -> None:
    with pytest.raises(Conflict, match=r"^K3s here pulls through /run/x\.sock, which is none of K3s, RKE2"):
        served(replace(node("k3s"), through={"k3s": "/run/x.sock"}))
    with pytest.raises(Conflict, match=r"^registry_runtime names K3s, which this host does not have"):
        served(replace(node("k3s"), through={"k3s": "docker"}), "k3s")


def test_docker_is_trusted_as_a_docker_host_s() -> None:
    with pytest.raises(Conflict) as raised:
        steps(node(), "docker")
    assert raised.value.problem.endswith("so what Docker trusts is what counts")
    assert raised.value.remedy == "list this host in docker_hosts too, and run again"
    assert steps(node(), "docker", docker_host=True) == []
    login = steps(node(), "docker", docker_host=True, login=Login("cluster", "x"))
    assert [step.path for step in login if step.writes] == ["/var/lib/kubelet/config.json"]


def test_docker_s_containerd_alone_is_no_runtime() -> None:
    with pytest.raises(Conflict, match=f"CRI is switched off \\({CONFIG} line 1: disabled_plugins"):
        steps(node("containerd", config=DOCKERS), "containerd")


# What they get.


def test_all_runtimes_of_a_host_are_served_and_its_names_come_last() -> None:
    started = {"k3s-agent.service": 1.0, "containerd.service": 1.0, "docker.service": 1.0}
    found = steps(node(started=started), "k3s", "rke2", "containerd", "crio", "podman")
    texts = [step.text.partition(":")[0] for step in found]
    assert texts == [
        "make /etc/rancher/k3s",
        "write /etc/rancher/k3s/homelab-registry-ca.crt",
        "write /etc/rancher/k3s/registries.yaml",
        "restart k3s-agent.service",
        "make /etc/rancher/rke2",
        "write /etc/rancher/rke2/homelab-registry-ca.crt",
        "write /etc/rancher/rke2/registries.yaml",
        "make /etc/containerd",
        f"make {CERTS}",
        f"make {CERTS}/{NAME}",
        f"write {CERTS}/{NAME}/ca.crt",
        f"write {CERTS}/{NAME}/hosts.toml",
        f"write {CONFIG}",
        "restart containerd",
        "make /etc/containers/certs.d",
        f"make /etc/containers/certs.d/{NAME}",
        f"write /etc/containers/certs.d/{NAME}/ca.crt",
        "write /etc/hosts",
    ]
    assert "Docker Engine here uses it too" in found[13].text
    assert found[-1].stdin == f"127.0.0.1 localhost\n{ADDRESS} {NAME} # homelab-registry\n"


def test_containerd_is_not_restarted_if_that_stops_docker() -> None:
    running = {"containerd.service": 1.0, "docker.service": 1.0}
    required = replace(node(started=running), requiring_containerd={"docker.service"})
    with pytest.raises(Conflict, match=r"^docker\.service requires containerd\.service"):
        steps(required, "containerd")
    assert steps(replace(required, started={"containerd.service": 1.0}), "containerd")
    assert steps(replace(required, requiring_containerd={"other.service"}), "containerd")


def test_the_configuration_of_crio_is_checked_if_crio_is_served() -> None:
    path = "/etc/crio/crio.conf"
    assert path in facts.texts([NAME])
    found = replace(node(), texts={path: f"[crio.image]\ninsecure_registries = ['{NAME}']\n"})
    assert steps(found, "podman")
    with pytest.raises(Conflict, match=f'^{path} line 2 has "{NAME}" in insecure_registries'):
        steps(found, "crio", "podman")


def test_a_docker_host_gets_the_names_as_a_docker_host() -> None:
    assert ENTRY in [step.text for step in steps(node(), "podman")]
    assert ENTRY not in [step.text for step in steps(node(), "podman", docker_host=True)]


def test_only_the_configuration_of_served_runtimes_is_checked() -> None:
    broken = node(config="[[[")
    assert steps(broken, "podman")
    with pytest.raises(Conflict):
        steps(broken, "containerd")


def test_what_a_killed_run_left_is_removed_once() -> None:
    path = "/etc/rancher/k3s/.registries.yaml.homelab-new"
    left = Observed("regular file", "600", 0, 0, 1.0, 1, "x")
    found = replace(node(), paths={**node().paths, path: left})
    texts = [step.text for step in steps(found, "containerd", "podman")]
    assert texts.count(f"remove {path}: a run was killed while writing it") == 1


def test_a_loopback_address_for_our_name_is_a_conflict() -> None:
    found = replace(node(), client=ClientHost(HostsFile(f"127.0.1.1 {NAME}\n")))
    with pytest.raises(
        Conflict, match=r"/etc/hosts line 1 gives registry\.homelab\.local the loopback address"
    ):
        steps(found, "podman")
