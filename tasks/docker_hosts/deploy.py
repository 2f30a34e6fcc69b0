"""Deploy the trust on Docker hosts."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.docker_hosts import operations
from tasks.run.apply import prefetch


@deploy("Docker hosts")
def trust() -> None:
    """Make Docker trust the registry and find it."""
    if "docker_hosts" in host.groups:
        prefetch(operations.read_facts)
        operations.trust(name="trust and name")
