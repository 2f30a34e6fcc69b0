"""See whether the clients reach the registry."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.clients import operations


@deploy("Clients")
def ask() -> None:
    """Ask the registry through the runtimes of each client host that changed."""
    if {"docker_hosts", "cluster_nodes"}.intersection(host.groups):
        operations.ask(name="ask the registry")
