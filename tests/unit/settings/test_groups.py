"""Which groups of hosts an inventory may have."""

from __future__ import annotations

import pytest

from tasks.settings import groups

FILE = "inventories/lab.py"


@pytest.mark.parametrize(
    ("group", "hosts", "advice"),
    [
        ("k3s_nodes", ["one", "two"], "one, two are in no group that does anything; did you mean cluster_nodes?"),
        ("workers", ["one"], "one is in no group that does anything; did you mean cluster_nodes?"),
        ("docker_nodes", ["one", "nas"], "one is in no group that does anything; did you mean docker_hosts?"),
        ("DockerServers", ["one"], "did you mean docker_hosts?"),
        ("cluster_controls", ["one"], "did you mean cluster_control?"),
        ("k3s_server", ["one"], "did you mean cluster_control?"),
        ("k3s_masters", ["one", "two", "three", "four"], "one, two, three and more are in no group that does anything; "
         "did you mean cluster_nodes?"),
        ("kubectl", ["one"], "did you mean cluster_control?"),
        ("docker_hosts2", ["one"], "did you mean docker_hosts?"),
        ("backups", ["one"], "did you mean backup_hosts?"),
        ("web", ["one"], "put it into registry, docker_hosts, cluster_nodes, cluster_control or backup_hosts"),
        ("web", ["one", "two"], "put them into registry, docker_hosts, cluster_nodes, cluster_control or backup_hosts"),
    ],
)  # fmt: skip
def test_hosts_that_are_only_in_a_group_of_another_name_are_named(
    group: str, hosts: list[str], advice: str
) -> None:
    found = {"registry": ["nas"], group: hosts, "@docker": hosts, "lab": ["nas", *hosts]}
    [line] = groups.problems(found, ["nas", *hosts], "lab", FILE)
    assert line.startswith(f"{group} ({FILE}): ")
    assert line.endswith(advice)


def test_hosts_that_are_only_in_all_are_named() -> None:
    [line] = groups.problems({"registry": ["nas"], "lab": ["nas", "box"]}, ["nas", "box"], "lab", FILE)
    assert line.startswith(f"all ({FILE}): box is in no group that does anything; put it into registry, ")


def test_the_registry_host_keeps_no_backup_of_its_own() -> None:
    found = {"registry": ["nas"], "backup_hosts": ["nas", "pi"], "lab": ["nas", "pi"]}
    [line] = groups.problems(found, ["nas", "pi"], "lab", FILE)
    assert line.startswith(f"backup_hosts ({FILE}): nas is the registry host")
