"""How kubectl is found and called on a host, and what its complaints mean.

Every call is one request for many objects: it costs a twentieth of a second to start, and more to find out what the
API server offers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

MANAGER = "homelab-registry"
"""The field manager of all we write (server-side apply), and the value of `app.kubernetes.io/managed-by` on it."""

PROGRAMS = ("kubectl", "k3s kubectl", "microk8s kubectl")
"""In the order in which they are looked for; RKE2's is a `kubectl` in a folder of its own."""

FOLDERS = ("/usr/local/bin", "/var/lib/rancher/rke2/bin", "/snap/bin")
"""Where they stand, and a `PATH` of sudo's does not lead."""

CONFIGURATIONS = (
    "/etc/kubernetes/admin.conf",
    "/etc/rancher/rke2/rke2.yaml",
    "/etc/rancher/k3s/k3s.yaml",
    "/var/snap/microk8s/current/credentials/client.config",
)
"""After `$KUBECONFIG` and root's and the sudoing user's own, in this order. MicroK8s's own program knows the last."""

NONE = "none"
"""What is told for a configuration where none of these is there."""

LONGEST = 3
"""How many of many names a line has room for."""


def finding(settings: Settings) -> str:
    """Return the shell lines that find a kubectl, and make of it the function `kubectl`.

    `$found` is then the program and `$config` its configuration's path, both empty where there is none; `$config` is
    too where the program finds it by itself. The user's kuberc is not read, as it may have `delete` ask; nothing is
    cached, so that a plan leaves no file.
    """
    return f"""
PATH="$PATH:{":".join(FOLDERS)}"
found=
config={shlex.quote(settings.registry_kubeconfig or "")}
context={shlex.quote(settings.registry_kube_context or "")}
for each in {shlex.join(PROGRAMS)}; do
    if command -v "${{each%% *}}" >/dev/null; then found=$each; break; fi
done
home=
[ -z "${{SUDO_USER:-}}" ] || home=$(getent passwd "$SUDO_USER" | cut -d : -f 6)
if [ -z "$config${{KUBECONFIG:-}}" ] && [ "$found" != '{PROGRAMS[-1]}' ]; then
    for each in "${{HOME:-/root}}/.kube/config" ${{home:+"$home/.kube/config"}} {shlex.join(CONFIGURATIONS)}; do
        if [ -f "$each" ]; then config=$each; break; fi
    done
    [ -n "$config" ] || config={NONE}
fi
kubectl() {{
    KUBECTL_KUBERC=false timeout 300 $found ${{config:+--kubeconfig "$config"}} ${{context:+--context "$context"}} \\
        --cache-dir=/dev/null/none --request-timeout=20s "$@"
}}
"""


def applying(settings: Settings) -> str:
    """Return the script that applies a list of objects from standard input, and prints what kubectl complains of.

    It never fails: of many objects some may be refused. The objects are of our own making and need no validation here.
    """
    options = f"--server-side --field-manager={MANAGER} --force-conflicts --validate=false"
    return f"{finding(settings)}kubectl apply {options} -f - 2>&1 >/dev/null || echo 'exit|'$?"


def deleting(settings: Settings) -> str:
    """Return the script that deletes the objects of a list from standard input, in the same way."""
    return f"{finding(settings)}kubectl delete --ignore-not-found --wait=false -f - 2>&1 >/dev/null || echo 'exit|'$?"


def check_found(program: str, config: str) -> None:
    """Raise `Conflict` where there is no program or no configuration to call it with."""
    if not program:
        raise Conflict(
            f"there is no kubectl here (looked for kubectl, k3s, microk8s and in {', '.join(FOLDERS)})",
            "install it, or put a host that has it into cluster_control, and run again",
        )
    if config == NONE:
        places = ", ".join(("~/.kube/config of root and of the user who logs in", *CONFIGURATIONS))
        raise Conflict(
            f"{program} has no configuration here (looked for {places})",
            "set registry_kubeconfig to that of the cluster's administrator, and run again",
        )


def join_names(found: Iterable[str], what: str = "namespaces") -> str:
    """Return names as a line has room for them: a few as they are, many by their number and the first ones."""
    names = list(found)
    if len(names) <= 2 * LONGEST:
        return ", ".join(names)
    return f"{len(names)} {what} ({', '.join(names[:LONGEST])}, …)"
