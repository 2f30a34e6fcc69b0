"""Trust on a cluster's node, for each container runtime that it has."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.facts.cluster_nodes import ClusterNodeFact
from tasks.model import client_hosts, cluster_nodes, containerd, containerd_config, containers_certs, rancher
from tasks.model.cluster_nodes import Wanted
from tasks.model.steps import Step
from tasks.operations.carry_out import carry_out, read
from tasks.operations.finished_registry import finished_registry
from tasks.run import Run, current


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give each runtime the CA, and the host the registry's address."""
    served: list[str] = []
    yield from carry_out(host, lambda: _decide(current(), served), lambda: _trust(served, "the registry"))
    if served:
        names = ", ".join(current().configuration.settings.authorities)
        current().report.say(host.name, _trust(served, names))


def _trust(served: list[str], whom: str) -> str:
    return f"{cluster_nodes.listed(served)} {'trusts' if len(served) == 1 else 'trust'} {whom}"


def _decide(run: Run, served: list[str]) -> list[Step]:
    """Return the steps, and note the runtimes that are `served`."""
    settings, own = run.configuration.settings, run.configuration.hosts[host.name]
    registry, named_elsewhere = finished_registry(host), "docker_hosts" in host.groups
    trusting = None if named_elsewhere else client_hosts.family(own, run.machines[host.name].family)
    found = read(
        host,
        ClusterNodeFact,
        paths=cluster_nodes.paths(settings),
        texts=cluster_nodes.texts(settings),
        patterns=[containers_certs.DROP_INS],
        config=containerd.CONFIG,
        certs=containerd_config.CERTS,
        below=containerd.relative(settings.authorities),
        rancher=rancher.FOLDER,
        kinds=list(cluster_nodes.DISTRIBUTIONS),
        generated=rancher.relative(settings.authorities),
        units=list(cluster_nodes.UNITS),
        trusting=trusting,
    )
    wanted = Wanted(
        ca_pem=registry.ca_pem,
        address=registry.address,
        runtimes=cluster_nodes.runtimes(own, found),
        login=registry.login if own.registry_node_login else None,
        named_elsewhere=named_elsewhere,
        trusting=trusting,
    )
    steps = cluster_nodes.steps(settings, wanted, found)
    served[:] = wanted.runtimes
    return steps
