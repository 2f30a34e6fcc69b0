"""What a node asks through each runtime, and where a proxy of it is set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.clients.mirrors import Mirror
from tasks.clients.proxies import ProxySettings
from tasks.cluster_nodes import questions
from tasks.cluster_nodes.node import NodeTarget
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.settings.load import Settings
from tests.unit.cluster_nodes.runtimes.test_containerd import CA
from tests.unit.cluster_nodes.test_plan import node

NAME = "registry.homelab.local"
K3S_SOCKET = "unix:///run/k3s/containerd/containerd.sock"
EXPECTED = {
    "k3s": (("ask_cri", K3S_SOCKET, "k3s crictl", "/usr/local/bin/k3s crictl", "crictl"),
            "/etc/rancher/k3s/homelab-registry-ca.crt"),
    "rke2": (("ask_cri", K3S_SOCKET, "/var/lib/rancher/rke2/bin/crictl", "crictl"),
             "/etc/rancher/rke2/homelab-registry-ca.crt"),
    "containerd": (("ask_cri", "unix:///run/containerd/containerd.sock", "crictl"),
                   f"/etc/containerd/certs.d/{NAME}/ca.crt"),
    "crio": (("ask_cri", "unix:///var/run/crio/crio.sock", "crictl"), f"/etc/containers/certs.d/{NAME}/ca.crt"),
    "podman": (("ask_podman",), f"/etc/containers/certs.d/{NAME}/ca.crt"),
    "docker": (("ask_docker", "unix:///var/run/docker.sock"), f"/etc/docker/certs.d/{NAME}/ca.crt"),
}  # fmt: skip


def test_every_runtime_is_asked_for_by_its_own_client() -> None:
    assert set(EXPECTED) == set(RUNTIMES)
    for name, (words, ca) in EXPECTED.items():
        asked = questions.of(Settings(), NAME, name, node(*RUNTIMES))
        assert (asked.words, asked.ca, asked.title, asked.proxy) == (words, ca, RUNTIMES[name].title, None)


@pytest.mark.parametrize(
    ("runtime", "unit", "variables", "asked"),
    [
        ("containerd", "containerd.service", {"HTTPS_PROXY": "set"}, True),
        ("containerd", "containerd.service", {"CONTAINERD_HTTPS_PROXY": "set"}, False),
        ("k3s", "k3s-agent.service", {"CONTAINERD_HTTPS_PROXY": "set"}, True),
        ("k3s", "k3s.service", {"HTTPS_PROXY": "set", "CONTAINERD_NO_PROXY": NAME}, False),
        ("rke2", "rke2-server.service", {"HTTPS_PROXY": "set", "NO_PROXY": "10.0.0.0/8,.svc"}, True),
        ("crio", "crio.service", {"HTTPS_PROXY": "set"}, True),
        ("crio", "containerd.service", {"HTTPS_PROXY": "set"}, False),
        ("podman", "containerd.service", {"HTTPS_PROXY": "set"}, False),
    ],
)
def test_the_proxy_of_its_own_unit_counts(
    runtime: str, unit: str, variables: dict[str, str], *, asked: bool
) -> None:
    found = replace(node(*RUNTIMES), proxies={unit: ProxySettings(variables, "/file")})
    question = questions.of(Settings(), NAME, runtime, found)
    assert question.proxy == ("/file" if asked else None)
    assert not asked or question.restart == f"restart it (systemctl restart {unit})"


def test_the_caches_are_asked_with_the_file_of_each_runtime() -> None:
    settings = Settings.model_validate({"registry_port": 5443, "registry_caches": ["docker.io"]})
    mirror = "mirror.homelab.local"
    used = Mirror(f"{mirror}:5443", settings.registry_caches)
    target = NodeTarget(CA, "192.168.1.10", list(RUNTIMES), mirror=used)
    found = replace(
        node(*RUNTIMES), proxies={"crio.service": ProxySettings({"HTTPS_PROXY": "set"}, "/etc/environment")}
    )
    asked = questions.of_caches(settings, target, found, served=True)
    assert {each.title: each.ca for each in asked} == {
        RUNTIMES[name].title: ca.replace(NAME, used.endpoint)
        for name, (_, ca) in EXPECTED.items()
        if name != "docker"  # a Docker host asks for it
    }
    for each in asked:
        proxied = each.title == "CRI-O"
        assert each.words == (("ask_proxied",) if proxied else ("ask_mirror", mirror, each.ca))
        assert each.proxy == ("/etc/environment" if proxied else None)
    assert questions.of_caches(settings, target, found, served=False) == []
    assert questions.of_caches(settings, replace(target, mirror=None), found, served=True) == []
