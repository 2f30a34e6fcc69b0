"""The Docker hosts."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from tasks.operations import docker_hosts
from tasks.placement import as_root, meets


@deploy("Docker hosts")
def trust() -> None:
    """Make Docker trust the registry and find it."""
    if meets("docker_hosts"):
        docker_hosts.trust(name="trust and name", **as_root())
