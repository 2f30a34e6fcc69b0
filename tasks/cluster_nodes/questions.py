"""What a node asks the registry through each of its runtimes."""

from __future__ import annotations

from tasks.clients import proxies
from tasks.clients.questions import Question, of_mirror
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import containerd, crio_podman, k3s_rke2
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.registry import cache
from tasks.remote import docker
from tasks.settings.load import Settings

SOCKETS = {
    "k3s": "unix:///run/k3s/containerd/containerd.sock",
    "rke2": "unix:///run/k3s/containerd/containerd.sock",
    "containerd": "unix:///run/containerd/containerd.sock",
    "crio": "unix:///var/run/crio/crio.sock",
}
"""Where each answers the CRI."""

UNITS = {
    "k3s": k3s_rke2.K3S.units,
    "rke2": k3s_rke2.RKE2.units,
    "containerd": (containerd.UNIT,),
    "crio": crio_podman.Crio.units,
}


def of(settings: Settings, name: str, runtime: str, found: Node) -> Question:
    """Return what a runtime asks about one server name."""
    endpoint = settings.endpoints[settings.server_names.index(name)]
    proxy, restart = _proxy(settings, name, runtime, found)
    return Question(
        RUNTIMES[runtime].title,
        endpoint,
        name,
        settings.registry_port,
        _ca(runtime, endpoint, found),
        _asks(runtime, found),
        proxy=proxy,
        restart=restart,
    )


def of_caches(settings: Settings, target: NodeTarget, found: Node, *, served: bool) -> list[Question]:
    """Return what is asked of the caches for each runtime, nothing unless they are `served` under their name.

    For an engine a Docker host's role asks.
    """
    name = cache.name(settings)
    if target.mirror is None or name is None or not served:
        return []
    endpoint, port = target.mirror.endpoint, settings.registry_port
    return [
        of_mirror(
            RUNTIMES[each].title,
            endpoint,
            name,
            port,
            _ca(each, endpoint, found),
            *_proxy(settings, name, each, found),
        )
        for each in target.runtimes
        if each != "docker"
    ]


def _proxy(settings: Settings, name: str, runtime: str, found: Node) -> tuple[str | None, str]:
    """Return where a proxy is set that a runtime would ask for a name, and the command that reads a change of it."""
    unit = next((unit for unit in UNITS.get(runtime, ()) if unit in found.proxies), None)
    if unit is None:
        return None, ""
    prefix = proxies.PREFIX if runtime in found.data else ""
    way = found.proxies[unit].way(name, settings.registry_port, prefix)
    return way, f"restart it (systemctl restart {unit})"


def _asks(runtime: str, found: Node) -> tuple[str, ...]:
    """Return the function that asks, with its arguments. An engine's proxy is asked about as a Docker host's."""
    if runtime == "docker":
        return ("ask_docker", docker.SOCKET)
    return (
        ("ask_podman",) if runtime == "podman" else ("ask_cri", SOCKETS[runtime], *_clients(runtime, found))
    )


def _clients(runtime: str, found: Node) -> list[str]:
    """Return the clients of the CRI that may be there: crictl, or the one that K3s and RKE2 bring along."""
    own = {
        "k3s": ["k3s crictl", "/usr/local/bin/k3s crictl"],
        "rke2": [f"{found.data.get('rke2')}/bin/crictl"],
    }
    return [*own.get(runtime, []), "crictl"]


def _ca(runtime: str, endpoint: str, found: Node) -> str:
    if runtime == "containerd":
        return containerd.ca_file(endpoint, found)
    if runtime in found.data:
        return (k3s_rke2.K3S if runtime == "k3s" else k3s_rke2.RKE2).ca_in_force(endpoint, found)
    certs = "/etc/docker/certs.d" if runtime == "docker" else crio_podman.CERTS
    return f"{certs}/{endpoint}/ca.crt"
