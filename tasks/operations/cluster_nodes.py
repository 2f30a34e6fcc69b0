"""Trust on a cluster's node, for each container runtime that it has."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.facts.cluster_nodes import ClusterNodeFact
from tasks.model import cluster_nodes, containerd, containerd_config, containers_certs, hosts_file, rancher
from tasks.model.registries_yaml import Login
from tasks.model.steps import Step
from tasks.operations.carry_out import carry_out, read
from tasks.operations.finished_registry import finished_registry, password_of
from tasks.run import Run, current


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give each runtime the CA, and the host the registry's address."""
    if "cluster_nodes" not in host.groups:
        return
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
    ca_pem, address = finished_registry(host)
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
        hosts_file=hosts_file.PATH,
    )
    runtimes = cluster_nodes.runtimes(own, found)
    account = settings.registry_login_account
    login = Login(account, password_of(account)) if own.registry_node_login else None
    steps = cluster_nodes.steps(
        settings, ca_pem, address, login, runtimes, "docker_hosts" in host.groups, found
    )
    served[:] = runtimes
    return steps
