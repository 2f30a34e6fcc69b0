"""See whether the clients reach the registry."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.clients import operations
from tasks.run.context import current


@deploy("Clients")
def ask() -> None:
    """Ask the registry through the runtimes of each client host that changed."""
    if {"docker_hosts", "cluster_nodes"}.intersection(host.groups):
        operations.ask(name="ask the registry")


@deploy("Clients")
def prove_address() -> None:
    """See whether a client reaches `registry_address`, if it is set."""
    if "registry" in host.groups and current().configuration.settings.registry_address:
        operations.prove_address(name="registry_address is reached")
