"""Cluster nodes, and other hosts that pull without Docker."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.cluster_nodes import operations
from tasks.run.apply import prefetch


@deploy("Cluster nodes")
def trust() -> None:
    """Make each container runtime trust the registry, and the host find it."""
    if "cluster_nodes" in host.groups:
        prefetch(operations.read_facts)
        operations.trust(name="trust and name")
