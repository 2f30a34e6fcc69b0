"""What a deploy would still change on a host, decided by the code of the deploy itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TypeVar

from pyinfra.context import ctx_host

from tasks.clients import plan as client_hosts
from tasks.clients.endpoint import finished_registry
from tasks.clients.hosts_file import HostsFile
from tasks.clients.mirrors import Mirror
from tasks.cluster_control import operations as cluster_control
from tasks.cluster_nodes import operations as cluster_nodes
from tasks.cluster_nodes import plan as model
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.docker_hosts import operations as docker_hosts
from tasks.problem import Problem
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Step
from tasks.run.context import Run, begin
from tasks.run.inspect import note_machine
from tests.verify.backend import Host, Unreachable
from tests.verify.deployment import Deployment

T = TypeVar("T")


class Deployed:
    """A run that has finished the registry host and decides about clients."""

    def __init__(self, deployment: Deployment, address: str) -> None:
        state, self._deployment = deployment.state, deployment
        self._run = Run(deployment.configuration, deployment.store, deployment.path, dry=True)
        registry = self._run.part(RegistryContext)
        registry.present = registry.desired = state
        registry.address, registry.authorities = address, deployment.authorities
        registry.served = True
        self._run.settled[deployment.configuration.registry_host].set()

    def docker_host(self, host: Host) -> Sequence[Step]:
        """Return the steps that a deploy would take on a Docker host."""
        planned = self._on(host, lambda: docker_hosts.decide(self._run))
        for stop in planned.refused.values():
            raise AssertionError(f"{host.name}: {stop}")
        return planned.steps

    def docker_mirror(self, host: Host) -> Mirror | None:
        """Return the caches that Docker pulls through on a host, None for none."""
        return self._on(host, lambda: docker_hosts.decide(self._run)).mirror

    def hosts_file(self, host: Host) -> tuple[HostsFile, Problem | None]:
        """Return a client's `/etc/hosts`, and why our entry there will be lost, if it will."""
        role = docker_hosts if host.name in self._deployment.group("docker_hosts") else cluster_nodes

        def decide() -> tuple[HostsFile, Problem | None]:
            found, address = role.read_facts(self._run).client, finished_registry(ctx_host.get()).address
            return found.hosts, client_hosts.loss(self._run.configuration.settings, address, found)

        return self._on(host, decide)

    def node(self, host: Host) -> Sequence[Step]:
        """Return the steps that a deploy would take on a node."""

        def decide() -> Sequence[Step]:
            found = cluster_nodes.read_facts(self._run)
            return model.steps(self._run.configuration.settings, self._wanted(found), found)

        return self._on(host, decide)

    def runtimes(self, host: Host) -> tuple[Node, Collection[str]]:
        """Return what a node has, and which of its runtimes a deploy configures."""

        def decide() -> tuple[Node, Collection[str]]:
            found = cluster_nodes.read_facts(self._run)
            return found, self._wanted(found).runtimes

        return self._on(host, decide)

    def cluster(self, host: Host) -> tuple[list[str], list[str]]:
        """Return what a deploy would change in the cluster, and its nodes that are not in the inventory."""
        for name in self._deployment.group("cluster_nodes"):
            with suppress(Unreachable):  # that host's own tests report it
                self._run.machines[name] = self._deployment.hosts.get(name).machine

        def decide() -> tuple[list[str], list[str]]:
            planned = cluster_control.plan(self._run)
            changes = [
                f"{change.action} {change.ref.namespace}: {change.reason}" for change in planned.changes
            ]
            problems = [f"{problem}; {remedy}" for problem, remedy in planned.problems]
            unlisted = cluster_control.unlisted_nodes(self._run, cluster_control.read_facts(self._run))
            return problems + changes, unlisted

        return self._on(host, decide)

    def _wanted(self, found: Node) -> NodeTarget:
        return cluster_nodes.node_target(self._run, finished_registry(ctx_host.get()), found)

    def _on(self, host: Host, decide: Callable[[], T]) -> T:
        """Return what is decided for a host; `AssertionError` with one line if a deploy would stop there."""
        note_machine(self._run, host.backend.pyinfra_host, host.machine)
        begin(self._run)
        with ctx_host.use(host.backend.pyinfra_host):
            try:
                return decide()
            except Problem as stop:
                raise AssertionError(f"{host.name}: {stop}") from None


def check_nothing_to_do(host: Host, steps: Sequence[Step]) -> None:
    """Assert that a deploy would change nothing; the message has the first step that it would take."""
    more = f", and {len(steps) - 1} more" if steps[1:] else ""
    assert not steps, f"{host.name}: differs from what was deployed ({steps[0].text}{more}); run make deploy"
