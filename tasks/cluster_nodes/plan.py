"""A node of a cluster, or another host that pulls: which runtimes it has, and what each needs to trust the registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.accounts.logins import Login
from tasks.clients import plan as client_hosts
from tasks.clients.plan import ClientHost
from tasks.clients.system_trust import Family
from tasks.cluster_nodes import logins
from tasks.cluster_nodes.runtimes import containerd, crio_podman, k3s_rke2
from tasks.cluster_nodes.runtimes.containerd import Containerd
from tasks.cluster_nodes.runtimes.k3s_rke2 import Distribution
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import HostSettings, Settings

TITLES = {"k3s": "K3s", "rke2": "RKE2", "containerd": "containerd", "crio": "CRI-O", "podman": "Podman"}
"""The runtimes in the order in which they are served, by their names in `registry_runtime`."""

DISTRIBUTIONS = {"k3s": k3s_rke2.K3S, "rke2": k3s_rke2.RKE2}

OF_UNIT = {unit: kind.name for kind in DISTRIBUTIONS.values() for unit in kind.units} | {
    "crio.service": "crio"
}
"""What an installed unit tells of, even where its program is on no path."""

DOCKER_UNIT = "docker.service"
UNITS = (*OF_UNIT, containerd.UNIT, DOCKER_UNIT)
"""The units of systemd that are asked about."""


@dataclass(frozen=True)
class Node:
    """A node as it is.

    `runtimes` are those that were found (a containerd that K3s or RKE2 brought along is not one), `started` when
    each unit of systemd that runs was started (seconds since 1970). `containerd_config` is the main file that
    containerd reads, `data` the data folder of K3s and of RKE2. `paths` and `texts` are what was asked for, and what
    was found on the way, by path. `imports` are what containerd's files import, as the host's shell read it.
    `requiring_containerd` are the units that are restarted with containerd's.
    """

    runtimes: frozenset[str]
    started: Mapping[str, float]
    containerd_version: str
    containerd_config: str
    data: Mapping[str, str]
    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(repr=False)
    client: ClientHost = field(default_factory=ClientHost)
    imports: Collection[str] = frozenset()
    requiring_containerd: Collection[str] = frozenset()


def paths(endpoints: Sequence[str]) -> list[str]:
    """Return all paths to be told of that are known before the host is asked."""
    ours = [path for kind in DISTRIBUTIONS.values() for path in k3s_rke2.paths(kind)]
    trusted = crio_podman.paths(endpoints)
    return [containerd.HOME, containerd.RESTART_DUE, *trusted, *logins.paths(), *ours]


def texts(endpoints: Sequence[str]) -> list[str]:
    """Return the files whose texts are to be told, as far as they are known before."""
    ours = [path for kind in DISTRIBUTIONS.values() for path in (kind.registries, kind.ca_file)]
    trusted = crio_podman.certificates(endpoints)
    return [
        *ours,
        *trusted,
        crio_podman.CONFIG,
        crio_podman.CRIO,
        logins.KUBELET,
        logins.PODMAN,
    ]


def runtimes(host_settings: HostSettings, found: Node) -> list[str]:
    """Return the runtimes to serve: as set, or as found; `Conflict` where that is none, or one that is not there."""
    there = [name for name in TITLES if name in found.runtimes]
    if host_settings.registry_runtime is not None:
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
            f"this host is in cluster_nodes, and has none of {join_names(list(TITLES))}",
            "install one, or take the host out of cluster_nodes, and run again",
        )
    # Docker's own package switches the CRI of the containerd that it brings off: then that is no node's runtime.
    if len(there) > 1 and "containerd" in there and containerd.switched_off(_containerd(found)):
        there.remove("containerd")
    return there


def join_names(names: Sequence[str]) -> str:
    """Return runtimes by their names for people: `K3s, containerd and Podman`."""
    *before, last = [TITLES[name] for name in names]
    return f"{', '.join(before)} and {last}" if before else last


@dataclass(frozen=True)
class NodeTarget:
    """What a node is to have.

    `runtimes` are those to serve, `login` the account that the node pulls with by itself, None where it does not.
    `named_elsewhere` tells that it is a Docker host too and gets what every client host gets as that. `trusting` is
    whose trust store gets the CA as well, None for none.
    """

    ca_pem: str
    address: str
    runtimes: Collection[str]
    login: Login | None = None
    named_elsewhere: bool = False
    trusting: Family | None = None


def steps(settings: Settings, wanted: NodeTarget, found: Node) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise."""
    names, accounts = settings.endpoints, settings.registry_accounts
    taken = files.leftovers(found.paths)
    for name, kind in DISTRIBUTIONS.items():
        if name in wanted.runtimes:
            node = _rancher(kind, found)
            taken += k3s_rke2.steps(kind, names, wanted.ca_pem, wanted.login, accounts, node)
    if "containerd" in wanted.runtimes:
        taken += containerd.steps(names, wanted.ca_pem, _containerd(found))
    if "crio" in wanted.runtimes:
        crio_podman.check_crio(names, wanted.address, found.texts)
    if {"crio", "podman"} & set(wanted.runtimes):
        taken += crio_podman.steps(names, wanted.ca_pem, found.paths, found.texts)
    if wanted.login:
        taken += logins.steps(wanted.runtimes, names, wanted.login, found.paths, found.texts)
    if wanted.named_elsewhere:
        return taken
    return taken + client_hosts.steps(settings, wanted.ca_pem, wanted.address, wanted.trusting, found.client)


def _containerd(found: Node) -> Containerd:
    return Containerd(
        version=found.containerd_version,
        config=found.containerd_config,
        started=found.started.get(containerd.UNIT),
        shared=DOCKER_UNIT in found.started,
        stops_docker=DOCKER_UNIT in found.started and DOCKER_UNIT in found.requiring_containerd,
        paths=found.paths,
        texts=found.texts,
        imports=found.imports,
    )


def _rancher(kind: Distribution, found: Node) -> k3s_rke2.K3sNode:
    unit = next((unit for unit in kind.units if unit in found.started), None)
    return k3s_rke2.K3sNode(
        data=found.data[kind.name],
        unit=unit,
        started=found.started[unit] if unit else None,
        paths=found.paths,
        texts=found.texts,
    )
