"""Trust on a cluster's node, for each container runtime that it has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.clients import mirrors
from tasks.clients import plan as client_hosts
from tasks.clients.claims import Claim, Claims
from tasks.clients.endpoint import FinishedRegistry, finished_registry, served_names, serves_caches
from tasks.clients.system_trust import Family
from tasks.cluster_nodes import logins, plan, questions
from tasks.cluster_nodes.facts import ClusterNodeFact, read_node
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.registry.context import RegistryContext
from tasks.registry.operations.accounts import write_former
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, apply_steps, read_fact
from tasks.run.context import Run


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give each runtime the CA, and the host the registry's address."""
    served: list[str] = []
    yield from apply_steps(host, partial(_decide, served), lambda _: _noop_reason(served))


def _noop_reason(served: list[str]) -> str:
    return f"{plan.join_names(served)} {'has' if len(served) == 1 else 'have'} the registry's CA and its name"


def _decide(served: list[str], run: Run) -> list[AnyStep]:
    """Return the steps, and put the runtimes that are served into `served`."""
    registry = finished_registry(host)
    found = read_facts(run)
    target = node_target(run, registry, found)
    client_hosts.note_loss(run, host.name, registry.address, found.client)
    steps = plan.steps(run.configuration.settings, target, found)
    served[:] = target.runtimes
    settings = run.configuration.settings
    claim = Claim(
        "cluster_nodes",
        [RUNTIMES[name].title for name in target.runtimes],
        settings.endpoints,
        registry.ca_pem,
        registry.address,
        [
            questions.of(settings, name, runtime, found)
            for name in served_names(run)
            for runtime in target.runtimes
        ]
        + questions.of_caches(settings, target, found, served=serves_caches(run)),
        changed=bool(steps),
        mirror=target.mirror,
    )
    run.part(Claims).make(host.name, claim)
    return [*_note_kubelet(run, steps, registry.login.account), *steps]


def _note_kubelet(run: Run, steps: Sequence[Step], account: str) -> list[AnyStep]:
    """Return the step that notes when a kubelet gets a new login whose account has a former password."""
    context = run.part(RegistryContext)
    former = context.desired.former.get(account)
    if former is None or not any(step.path == logins.KUBELET for step in steps):
        return []
    context.decide(
        former={**context.desired.former, account: replace(former, kubelet_updated=dt.datetime.now(dt.UTC))}
    )
    return [write_former(run, f"the kubelet there remembers the former password of {account}")]


def read_facts(run: Run) -> Node:
    """Read what the host has; `Conflict` if it could not be read."""
    settings = run.configuration.settings
    endpoints = [*settings.endpoints, *mirrors.names(settings)]
    return read_node(
        endpoints,
        lambda paths, texts: read_fact(
            host,
            ClusterNodeFact,
            endpoints=endpoints,
            trusting=_trusting(run),
            more_paths=paths,
            more_texts=texts,
        ),
    )


def node_target(run: Run, registry: FinishedRegistry, found: Node) -> NodeTarget:
    """Return what the host is to have; `Conflict` if it has no runtime to serve."""
    own = run.configuration.hosts[host.name]
    return NodeTarget(
        ca_pem=registry.ca_pem,
        address=registry.address,
        runtimes=plan.runtimes(own, found),
        login=registry.login if own.registry_node_login else None,
        is_docker_host=_is_docker_host(),
        trusting=_trusting(run),
        mirror=mirrors.mirror(run.configuration.settings, own),
    )


def _is_docker_host() -> bool:
    return "docker_hosts" in host.groups


def _trusting(run: Run) -> Family | None:
    if _is_docker_host():
        return None
    return client_hosts.family(run.configuration.hosts[host.name], run.machines[host.name].family)
