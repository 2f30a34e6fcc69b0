"""Work on the cluster, through the host that has kubectl and an administrator's rights."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.cluster_control import operations
from tasks.run.apply import prefetch


@deploy("Cluster")
def serve() -> None:
    """Let the chosen namespaces pull from the registry."""
    if "cluster_control" in host.groups:
        prefetch(operations.read_facts)
        operations.serve(name="pull secrets")
