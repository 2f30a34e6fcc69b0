"""The Docker hosts."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.docker_hosts import operations
from tasks.placement import as_root
from tasks.run.apply import look_ahead


@deploy("Docker hosts")
def trust() -> None:
    """Make Docker trust the registry and find it."""
    if "docker_hosts" in host.groups:
        look_ahead(operations.look)
        operations.trust(name="trust and name", **as_root())
