"""How kubectl is found and called on a host, and what its complaints mean.

Every call is one request for many objects: it costs a twentieth of a second to start, and more to find out what the
API server offers.
"""

from __future__ import annotations

import re
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


_BEGINS = re.compile(
    r"Error from server|[Ee]rror: |The connection to |[Uu]nable to |Operation cannot |Apply failed "
)


def complaints(output: Iterable[str]) -> list[str]:
    """Return the complaints in kubectl's output, one line each, in their order; none only where all went well.

    Advice of many lines follows a conflict, klog's own lines come before what they are about, and what a webhook says
    may have lines of its own.
    """
    found: list[str] = []
    ended, advice, quoting = "", False, False
    for line in (line.strip() for line in output):
        if line.startswith("Please review the fields above"):
            advice = True
        elif advice:
            advice = not line.startswith("See https://")
        elif line.startswith("exit|"):
            ended = line.removeprefix("exit|")
        elif line and not re.match(r"Warning: |[EWI]\d{4} ", line):
            if quoting and not _BEGINS.match(line):
                found[-1] = f"{found[-1]} {line}"
                continue
            found.append(line)
            quoting = "admission webhook" in line
    if ended and not found:
        found.append("it took too long" if ended == "124" else f"it ended without a word ({ended})")
    return found


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "[^"]*"'
    r'(?: at the cluster scope| in the namespace "(?P<namespace>[^"]+)")'
)


def forbidden(complaint: str) -> tuple[str, str, str] | None:
    """Return (user, verb, resource) where a right is missing, else None."""
    found = _FORBIDDEN.search(complaint)
    return (found["user"], found["verb"], found["resource"]) if found else None


def unread(answers: Iterable[str], config: str) -> Conflict:
    """Return why nothing could be read, from kubectl's complaints."""
    lines = list(answers)
    whose = f" (kubectl's configuration is {config})" if config else ""
    text = next(iter(lines), "it ended without a word")
    if rights := [right for line in lines if (right := forbidden(line))]:
        user, verb, _ = rights[0]
        resources = ", ".join(dict.fromkeys(resource for _, _, resource in rights))
        return Conflict(
            f'the user "{user}" may not {verb} {resources} in the whole cluster{whose}',
            "give it the rights that docs/how-it-works.md lists, or set registry_kubeconfig to an administrator's, "
            "and run again",
        )
    if "no such file or directory" in text and config in text:
        return Conflict(f"{config} is not there", "correct registry_kubeconfig and run again")
    if server := re.search(r"The connection to the server (\S+) was refused", text):
        return Conflict(
            f"the API server at {server[1]} does not answer: connection refused{whose}",
            "start the cluster's control plane, or correct registry_kubeconfig, and run again",
        )
    if re.search(
        r"Unable to connect to the server|TLS handshake timeout|deadline exceeded|timed? ?out", text
    ):
        said = re.sub(r"^.*Unable to connect to the server: ", "", text)
        return Conflict(
            f"the API server does not answer: {said}{whose}",
            "start the cluster's control plane, or correct registry_kubeconfig, and run again",
        )
    if "context" in text and ("not found" in text or "does not exist" in text):
        return Conflict(
            f"{text.removeprefix('Error in configuration: ').removeprefix('error: ')}{whose}",
            "correct registry_kube_context (kubectl config get-contexts lists them) and run again",
        )
    if "must be logged in" in text or "Unauthorized" in text:
        return Conflict(
            f"the API server does not know the user of kubectl's configuration{whose}",
            "renew its certificate or token, or set registry_kubeconfig, and run again",
        )
    return Conflict(f"kubectl could not read the cluster: {text}{whose}", "fix that and run again")


def refused(complaint: str) -> tuple[str, str]:
    """Return why an object was refused, in words that are the same in each namespace, and what to do."""
    if right := forbidden(complaint):
        user, verb, resource = right
        return (
            f'the user "{user}" may not {verb} {resource} there',
            "give it the rights that docs/how-it-works.md lists",
        )
    text = re.sub(r"^(Error from server)?( \(\w+\))?:? ?", "", complaint)
    if "is being terminated" in text:
        return "the namespace is being deleted", "take it out of registry_pull_secret_namespaces, or wait"
    if re.search(r'namespaces "[^"]*" not found', text):
        return "the namespace is gone", "make it, or take it out of registry_pull_secret_namespaces"
    if webhook := re.search(r'admission webhook "([^"]+)" denied the request:? *(.*)', text):
        return (
            f'the admission webhook "{webhook[1]}" refuses it: {webhook[2] or "it does not say why"}',
            "have it let these objects pass",
        )
    if policy := re.search(r"ValidatingAdmissionPolicy '([^']+)'.* denied request: (.*)", text):
        return f'the admission policy "{policy[1]}" refuses it: {policy[2]}', "have it let these objects pass"
    if "failed calling webhook" in text:
        return text, "mend that webhook, or remove it (kubectl get validatingwebhookconfigurations)"
    if "exceeded quota" in text:
        return text.partition("exceeded quota")[1] + text.partition("exceeded quota")[2], "raise that quota"
    if "immutable" in text or "may not change" in text:
        return f"it cannot be changed: {text}", "delete it there"
    return text, "mend that"


def join_names(found: Iterable[str], what: str = "namespaces") -> str:
    """Return names as a line has room for them: a few as they are, many by their number and the first ones."""
    names = list(found)
    if len(names) <= 2 * LONGEST:
        return ", ".join(names)
    return f"{len(names)} {what} ({', '.join(names[:LONGEST])}, …)"
