"""The container runtimes that are known."""

from __future__ import annotations

from tasks.cluster_nodes.runtimes.containerd import Containerd
from tasks.cluster_nodes.runtimes.crio_podman import Crio, Podman
from tasks.cluster_nodes.runtimes.docker import Docker
from tasks.cluster_nodes.runtimes.k3s_rke2 import K3S, RKE2
from tasks.cluster_nodes.runtimes.runtime import Runtime

RUNTIMES: dict[str, Runtime] = {
    each.name: each for each in (K3S, RKE2, Containerd(), Crio(), Podman(), Docker())
}
"""By their names in `registry_runtime`, in the order in which they are served."""
