"""How kubectl is found and called on a host.

Every call is one request for many objects: kubectl takes 50 ms to start, and more to ask the API server what it offers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tasks.remote.steps import Conflict
from tasks.remote.users import RUN_AS
from tasks.settings.load import Settings

MANAGER = "homelab-registry"
"""The field manager of all that we write (server-side apply), and its `app.kubernetes.io/managed-by`."""

PROGRAMS = ("kubectl", "k3s kubectl", "microk8s kubectl")
"""Tried in this order; RKE2's is a `kubectl` in a folder of its own."""

FOLDERS = ("/usr/local/bin", "/var/lib/rancher/rke2/bin", "/snap/bin")
"""Where distributions install them, and where the `PATH` that sudo sets does not look."""

CONFIGURATIONS = (
    "/etc/kubernetes/admin.conf",
    "/etc/rancher/rke2/rke2.yaml",
    "/etc/rancher/k3s/k3s.yaml",
    "/var/snap/microk8s/current/credentials/client.config",
)
"""Tried in this order, after `$KUBECONFIG`, root's own and that of the user who calls sudo.

MicroK8s's program finds the last one by itself.
"""

UNSAFE = "can be written by others than root, and may name programs that kubectl then runs as root"

NO_CONFIG = "none"
"""Reported as the configuration if none of these exists."""

SHOWN = 3
"""How many of many names one line shows."""


def find_script(settings: Settings) -> str:
    """Return the shell lines that find kubectl and define the function `kubectl`, which calls it.

    A configuration may name programs that kubectl runs (`exec`, client-go credential plugins). So kubectl runs as the
    user whose configuration it is, and not at all with one of root's that others can write.

    The lines set `$found` to the program, empty if there is none, and `$config` to the path of its configuration, empty
    if the program finds it by itself. The user's kuberc is not read, as it may make `delete` ask for confirmation;
    nothing is cached, so that a plan leaves no file.
    """
    return f"""
PATH="$PATH:{":".join(FOLDERS)}"
found=
config={shlex.quote(settings.registry_kubeconfig or "")}
context={shlex.quote(settings.registry_kube_context or "")}
for each in {shlex.join(PROGRAMS)}; do
    if program=$(command -v "${{each%% *}}"); then found=$each; break; fi
done
home=
[ -z "${{SUDO_USER:-}}" ] || home=$(getent passwd "$SUDO_USER" | cut -d : -f 6)
if [ -z "$config${{KUBECONFIG:-}}" ] && [ "$found" != '{PROGRAMS[-1]}' ]; then
    for each in "${{HOME:-/root}}/.kube/config" ${{home:+"$home/.kube/config"}} {shlex.join(CONFIGURATIONS)}; do
        if [ -f "$each" ]; then config=$each; break; fi
    done
    [ -n "$config" ] || config={NO_CONFIG}
fi
owner=0 unsafe=
if [ "$(id -u)" -eq 0 ]; then
    IFS=:
    for each in ${{config:-${{KUBECONFIG:-}}}}; do
        uid=$(stat -L -c %u "$each" 2>/dev/null) || continue
        if [ "$uid" -ne 0 ]; then
            owner=$uid
        elif [ -n "$(find -L "$each" -maxdepth 0 \\( -perm -002 -o -perm -020 ! -group root \\))" ]; then
            unsafe=$each
        fi
    done
    unset IFS
fi
{RUN_AS}
kubectl() {{
    if [ -n "$unsafe" ]; then echo "error: $unsafe {UNSAFE}" >&2; return 1; fi
    set -- ${{found#"${{found%% *}}"}} ${{config:+--kubeconfig "$config"}} ${{context:+--context "$context"}} \\
        --cache-dir=/dev/null/none --request-timeout=20s "$@"
    set -- env KUBECTL_KUBERC=false ${{KUBECONFIG:+KUBECONFIG="$KUBECONFIG"}} \\
        timeout 300 "$program" "$@"
    if [ "$owner" = 0 ]; then "$@"; return; fi
    if ! entry=$(getent passwd "$owner"); then
        echo "error: $config belongs to the user $owner, who does not exist" >&2; return 1
    fi
    group=$(echo "$entry" | cut -d : -f 4)
    home=$(echo "$entry" | cut -d : -f 6)
    run_as "$owner" "$group" "${{entry%%:*}}" "$home" 'exec "$@"' "$@"
}}
"""


def apply_script(settings: Settings) -> str:
    """Return the script that applies the objects on its standard input and prints kubectl's errors.

    Its exit code is always 0: some of many objects may be refused. Our own objects need no validation.
    """
    options = f"--server-side --field-manager={MANAGER} --force-conflicts --validate=false"
    return f"{find_script(settings)}kubectl apply {options} -f - 2>&1 >/dev/null || echo 'exit|'$?"


def delete_script(settings: Settings) -> str:
    """Return the script that deletes the objects on its standard input and prints kubectl's errors."""
    options = "--ignore-not-found --wait=false"
    return f"{find_script(settings)}kubectl delete {options} -f - 2>&1 >/dev/null || echo 'exit|'$?"


def check_found(program: str, config: str) -> None:
    """Raise `Conflict` if there is no program, or no configuration to call it with."""
    if not program:
        raise Conflict(
            f"there is no kubectl here (looked for kubectl, k3s and microk8s, also in {', '.join(FOLDERS)})",
            "install it, or put a host that has it into cluster_control, and run again",
        )
    if config == NO_CONFIG:
        places = ", ".join(("~/.kube/config of root and of the login user", *CONFIGURATIONS))
        raise Conflict(
            f"{program} has no configuration here (looked for {places})",
            "set registry_kubeconfig to the cluster administrator's configuration, and run again",
        )


def join_names(found: Iterable[str], what: str = "namespaces") -> str:
    """Return names for one line: a few as they are, many as their number and the first ones."""
    names = list(found)
    if len(names) <= 2 * SHOWN:
        return ", ".join(names)
    return f"{len(names)} {what} ({', '.join(names[:SHOWN])}, …)"
