"""A node of a cluster, or another host that pulls: which runtimes it has, and what each needs to trust the registry."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clients import plan as client_hosts
from tasks.cluster_nodes import logins
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import docker
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.remote import files
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import HostSettings, Settings


def runtimes(host_settings: HostSettings, found: Node) -> list[str]:
    """Return the names of the runtimes to serve: those set, or those found; `Conflict` if one is not there, or none."""
    pulling = _pulling(found)
    there = [name for name in RUNTIMES if name in pulling]
    if host_settings.registry_runtime is not None:
        there = [
            name
            for name in RUNTIMES
            if name in pulling or (name in found.runtimes and name not in found.through)
        ]
        missing = [name for name in host_settings.registry_runtime if name not in there]
        if missing:
            raise Conflict(
                f"registry_runtime names {join_names(missing)}, which this host does not have "
                f"(it has {join_names(there) if there else 'none of the known ones'})",
                "install it, or correct registry_runtime, and run again",
            )
        return [name for name in there if name in host_settings.registry_runtime]
    if not there:
        raise Conflict(
            f"this host is in cluster_nodes, and has none of {join_names(list(RUNTIMES))}",
            "install one, or take the host out of cluster_nodes, and run again",
        )
    if len(there) == 1:
        return there
    return [name for name in there if not RUNTIMES[name].switched_off(found)]


def _pulling(found: Node) -> set[str]:
    """Return the names of the runtimes that the host has, without those that its cluster does not pull through."""
    pulling = set(found.runtimes)
    for name, runtime in docker.behind(found).items():
        if name == "kubelet" and runtime != "docker":
            continue  # one of those found
        if runtime not in RUNTIMES:
            raise Conflict(
                f"{RUNTIMES[name].title} here pulls through {runtime}, which is none of {join_names(list(RUNTIMES))}",
                "set registry_runtime to what else this host has, or take it out of cluster_nodes, and run again",
            )
        pulling -= {"containerd", "crio"} if name == "kubelet" else {name}
        pulling.add(runtime)
    return pulling


def join_names(names: Sequence[str]) -> str:
    """Return runtimes by their names for people: `K3s, containerd and Podman`."""
    *before, last = [RUNTIMES[name].title for name in names]
    return f"{', '.join(before)} and {last}" if before else last


def steps(settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
    """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
    served = [runtime for name, runtime in RUNTIMES.items() if name in target.runtimes]
    taken = files.leftovers(found.paths)
    for runtime in served:
        taken += runtime.steps(settings, target, found)
    if target.login:
        login_files = [runtime.login_file for runtime in served if runtime.login_file]
        taken += logins.steps(login_files, settings.endpoints, target.login, found.paths, found.texts)
    if not target.is_docker_host:
        taken += client_hosts.steps(settings, target.ca_pem, target.address, target.trusting, found.client)
    return list(dict.fromkeys(taken))  # runtimes that read the same files need the same steps
