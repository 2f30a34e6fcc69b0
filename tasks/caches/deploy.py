"""Clear the caches on the registry host."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.caches import operations


@deploy("Caches")
def clear() -> None:
    """Remove an image from the caches, or everything."""
    if "registry" in host.groups:
        operations.clear(name="remove what was asked for")
