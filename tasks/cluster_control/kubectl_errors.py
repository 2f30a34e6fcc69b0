"""What kubectl's errors mean, and which of the planned changes each of them is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tasks.cluster_control.kubectl import join_names
from tasks.cluster_control.plan import Change, group_namespaces
from tasks.cluster_control.pull_secrets import Ref
from tasks.remote.steps import Conflict

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


_THERE = "\0"
"""Stands for the namespace in what is said of it, so that the same is said of many in one line."""

_RESOURCES = {"secrets": "Secret", "configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount"}


def blamed(changes: Iterable[Change], complaints: Iterable[str]) -> tuple[list[tuple[str, str]], set[Ref]]:
    """Pair what still is to be changed, after a call, with what kubectl complained of in that call.

    Returns a problem with its remedy for each kind of refusal, and the objects that are worth another try: those of
    which the version had changed, and those of which nothing was said, as they changed since.

    kubectl names no namespace where an object's version or a webhook stands against it, but keeps the order.
    """
    left = list(changes)
    refusals: list[tuple[str, tuple[str, str, str]]] = []
    again: set[Ref] = set()
    for complaint in complaints:
        change = next((each for each in left if _fits(each.ref, complaint)), None)
        if change is None:
            continue  # mended since
        left.remove(change)
        if "the object has been modified" in complaint:
            again.add(change.ref)
        else:
            why, remedy = refused(complaint)
            anywhere = re.sub(rf"(?<![\w-]){change.ref.namespace}(?![\w-])", _THERE, why)
            refusals.append((change.ref.namespace, (change.what, anywhere, remedy)))
    again |= {change.ref for change in left}
    problems = [
        (
            f"could not {what} {join_names(namespaces)}: {why.replace(_THERE, first)}",
            f"{remedy} and run again",
        )
        for (first, (what, why, remedy)), namespaces in group_namespaces(refusals)
    ]
    return problems, again


def _fits(ref: Ref, complaint: str) -> bool:
    """Tell whether a complaint may be about an object: it says nothing that speaks against it."""
    for resource, kind in _RESOURCES.items():
        if f'{resource} "' in complaint:
            return kind == ref.kind and f'{resource} "{ref.name}"' in complaint and _there(ref, complaint)
    return _there(ref, complaint)


def _there(ref: Ref, complaint: str) -> bool:
    named = [word for word in ("in the namespace", "in namespace", "namespaces") if f'{word} "' in complaint]
    return not named or any(f'{word} "{ref.namespace}"' in complaint for word in named)
