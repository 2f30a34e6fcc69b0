"""Docker Engine, on a node whose cluster pulls through it: K3s with `--docker`, or a kubelet with cri-dockerd.

What Docker trusts is what counts there. So the node gets that as a Docker host, with all that is checked for one.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.cluster_nodes import logins
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes.runtime import Runtime
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tasks.settings.types import RuntimeName

KUBELET_UNIT = "kubelet.service"

# The flag wins over the configuration (kubernetes.io, kubelet). kubeadm writes the one or, since 1.32, the other.
SCRIPT = r"""
kubelet= through=
case $loaded in (*' kubelet.service'*) kubelet=$(systemctl show -p MainPID --value kubelet.service) || exit 1 ;; esac
if [ "${kubelet:-0}" != 0 ]; then
    flag='--\{0,1\}container-runtime-endpoint'
    through=$(tr '\0' '\n' < "/proc/$kubelet/cmdline" | sed -n "/^$flag\$/{n;p;};s/^$flag=//p")
    [ -n "$through" ] || through=$(cat /var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml 2>/dev/null |
        sed -n "s/^containerRuntimeEndpoint: *[\"']\{0,1\}\([^\"' ]*\).*/\1/p" | tail -n 1)
fi
[ -z "$through" ] || ! reject_pipe "$through" || echo "through|kubelet|$through"
"""


class Docker(Runtime):
    """Docker Engine as the runtime of a cluster's pods."""

    name: RuntimeName = "docker"
    title = "Docker (for pods)"
    other_units = (KUBELET_UNIT,)
    login_file = logins.KUBELET

    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths to look at: none, as a Docker host has all."""
        return []

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the files to read: none."""
        return []

    def script(self, endpoints: Sequence[str]) -> str:
        """Return the shell lines that find what the kubelet pulls through."""
        return SCRIPT

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return no steps; `Conflict` if this is no Docker host."""
        if not target.is_docker_host:
            raise Conflict(
                "the cluster's pods here are pulled through Docker Engine, so what Docker trusts is what counts",
                "list this host in docker_hosts too, and run again",
            )
        return []


def behind(found: Node) -> dict[str, str]:
    """Return what K3s, RKE2 and the kubelet (`kubelet`) pull through, if it is not what they come with.

    The values are names in `registry_runtime`, or an address of none that is known.
    """
    known = {"docker": "docker", "containerd": "containerd", "crio": "crio"}
    return {
        name: next((runtime for part, runtime in known.items() if part in address), address)
        for name, address in found.through.items()
    }
