"""A node of K3s or RKE2 that Rancher has set up: its agent writes `registries.yaml`, with what Rancher has for it.

What anybody else writes there is undone by the agent (rke2#3872). So Rancher has to be told.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clients import certs_d
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import registries_mirrors, registries_yaml
from tasks.remote.steps import Conflict

AGENT = "/etc/systemd/system/rancher-system-agent.service"


def paths(folder: str) -> list[str]:
    """Return what only a node has that Rancher has set up: its agent, and what that writes beside `registries.yaml`.

    `folder` is that of the configuration (rancher's planner, `ConfigYamlFileName`).
    """
    return [AGENT, f"{folder}/config.yaml.d/50-rancher.yaml"]


def owns(folder: str, found: Node) -> bool:
    """Return whether Rancher's agent owns the configuration in a folder."""
    return all(found.paths.get(path) for path in paths(folder))


def ca_files(path: str, endpoints: Sequence[str], found: Node) -> list[str]:
    """Return the CA that `registries.yaml` at `path` names for each of our endpoints, "" for none."""
    return [registries_yaml.ca_of(found.texts.get(path, ""), endpoint, path) for endpoint in endpoints]


def check(path: str, endpoints: Sequence[str], target: NodeTarget, found: Node) -> None:
    """Raise `Conflict` unless what Rancher wrote has what we would write."""
    text, login, mirror = found.texts.get(path, ""), target.login, target.mirror
    for each in mirror.upstreams if mirror else ():
        if mirror and mirror.url not in registries_mirrors.endpoints(text, each.name, path):
            raise Conflict(
                f"{path} is Rancher's, whose agent rewrites it, and has no mirror {mirror.url} for {each.name}",
                "add it in Rancher (the cluster's configuration, Registries, with the text of ca.crt in the registry's "
                f"state as CA certificate of {mirror.endpoint}), or set registry_use_caches to False for this host, "
                "and run again",
            )
    names = [*endpoints, mirror.endpoint] if mirror else endpoints
    for endpoint, ca_file in zip(names, ca_files(path, names, found), strict=True):
        lacks = None
        if not certs_d.has_all(found.texts.get(ca_file, ""), target.ca_pem):
            lacks = f"name our CA for {endpoint}"
        elif (
            endpoint in endpoints
            and login
            and registries_yaml.auth_of(text, endpoint, path) != (login.account, login.password)
        ):
            lacks = f"have the login of {login.account} for {endpoint}"
        if lacks:
            raise Conflict(
                f"{path} is Rancher's, whose agent rewrites it, and does not {lacks}",
                f"add {endpoint} in Rancher (the cluster's configuration, Registries, with the text of ca.crt in the "
                "registry's state as CA certificate), wait until its agent has written it, and run again",
            )
