"""The cluster's nodes, and other hosts that pull without Docker."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from tasks.operations import cluster_nodes
from tasks.placement import as_root, meets


@deploy("Cluster nodes")
def trust() -> None:
    """Make each container runtime trust the registry and find it."""
    if meets("cluster_nodes"):
        cluster_nodes.trust(name="trust and name", **as_root())
