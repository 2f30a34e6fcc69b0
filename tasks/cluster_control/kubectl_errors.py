"""What kubectl's errors mean, and which of the planned changes each of them is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tasks.cluster_control.kubectl import UNSAFE, join_names
from tasks.cluster_control.plan import Change, NamespaceProblem, group_namespaces
from tasks.cluster_control.pull_secrets import Ref
from tasks.remote.steps import Conflict

_FIRST_LINE = re.compile(
    r"Error from server|[Ee]rror: |The connection to |[Uu]nable to |Operation cannot |Apply failed "
)


def read_errors(output: Iterable[str]) -> list[str]:
    """Return the errors in kubectl's output in their order, one line each; empty only if all went well.

    Left out: the lines of advice after a conflict, warnings, and klog's lines. A webhook's message may have many lines.
    """
    found: list[str] = []
    exit_code, advice, quoting = "", False, False
    for line in (line.strip() for line in output):
        if line.startswith("Please review the fields above"):
            advice = True
        elif advice:
            advice = not line.startswith("See https://")
        elif line.startswith("exit|"):
            exit_code = line.removeprefix("exit|")
        elif line and not re.match(r"Warning: |[EWI]\d{4} ", line):
            if quoting and not _FIRST_LINE.match(line):
                found[-1] = f"{found[-1]} {line}"
                continue
            found.append(line)
            quoting = "admission webhook" in line
    if exit_code and not found:
        found.append(
            "kubectl took too long"
            if exit_code == "124"
            else f"kubectl ended without a message (exit code {exit_code})"
        )
    return found


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "[^"]*"'
    r'(?: at the cluster scope| in the namespace "(?P<namespace>[^"]+)")'
)


def missing_right(error: str) -> tuple[str, str, str] | None:
    """Return (user, verb, resource) if the error is about a missing right, else None."""
    found = _FORBIDDEN.search(error)
    return (found["user"], found["verb"], found["resource"]) if found else None


def read_conflict(errors: Iterable[str], config: str) -> Conflict:
    """Return the conflict that says why kubectl could not read the cluster."""
    lines = list(errors)
    whose = f" (kubectl's configuration is {config})" if config else ""
    text = next(iter(lines), "it ended without a message")
    if rights := [right for line in lines if (right := missing_right(line))]:
        user, verb, _ = rights[0]
        resources = ", ".join(dict.fromkeys(resource for _, _, resource in rights))
        return Conflict(
            f'the user "{user}" may not {verb} {resources} in the whole cluster{whose}',
            "give it the rights that docs/how-it-works.md lists, or set registry_kubeconfig to an administrator's, "
            "and run again",
        )
    if UNSAFE in text:
        return Conflict(text.removeprefix("error: "), f"chmod go-w {config or 'that file'} and run again")
    if "no such file or directory" in text and config in text:
        return Conflict(f"{config} does not exist", "correct registry_kubeconfig and run again")
    if server := re.search(r"The connection to the server (\S+) was refused", text):
        return Conflict(
            f"the API server at {server[1]} does not answer: connection refused{whose}",
            "start the cluster's control plane, or correct registry_kubeconfig, and run again",
        )
    if re.search(
        r"Unable to connect to the server|TLS handshake timeout|deadline exceeded|timed? ?out", text
    ):
        reason = re.sub(r"^.*Unable to connect to the server: ", "", text)
        return Conflict(
            f"the API server does not answer: {reason}{whose}",
            "start the cluster's control plane, or correct registry_kubeconfig, and run again",
        )
    if "context" in text and ("not found" in text or "does not exist" in text):
        return Conflict(
            f"{text.removeprefix('Error in configuration: ').removeprefix('error: ')}{whose}",
            "correct registry_kube_context (kubectl config get-contexts lists them) and run again",
        )
    if "must be logged in" in text or "Unauthorized" in text:
        return Conflict(
            f"the API server rejects the credentials in kubectl's configuration{whose}",
            "renew its certificate or token, or set registry_kubeconfig, and run again",
        )
    return Conflict(f"kubectl could not read the cluster: {text}{whose}", "fix that and run again")


def explain_refusal(error: str) -> tuple[str, str]:
    """Return why an object was refused, without the namespace's name, and the remedy."""
    if right := missing_right(error):
        user, verb, resource = right
        return (
            f'the user "{user}" may not {verb} {resource} there',
            "give it the rights that docs/how-it-works.md lists",
        )
    text = re.sub(r"^(Error from server)?( \(\w+\))?:? ?", "", error)
    if "is being terminated" in text:
        return "the namespace is being deleted", "remove it from registry_pull_secret_namespaces, or wait"
    if re.search(r'namespaces "[^"]*" not found', text):
        return "the namespace is gone", "create it, or remove it from registry_pull_secret_namespaces"
    if webhook := re.search(r'admission webhook "([^"]+)" denied the request:? *(.*)', text):
        return (
            f'the admission webhook "{webhook[1]}" refuses it: {webhook[2] or "it gives no reason"}',
            "make it allow these objects",
        )
    if policy := re.search(r"ValidatingAdmissionPolicy '([^']+)'.* denied request: (.*)", text):
        return f'the admission policy "{policy[1]}" refuses it: {policy[2]}', "make it allow these objects"
    if "failed calling webhook" in text:
        return text, "fix that webhook, or remove it (kubectl get validatingwebhookconfigurations)"
    if "exceeded quota" in text:
        return text.partition("exceeded quota")[1] + text.partition("exceeded quota")[2], "raise that quota"
    if "immutable" in text or "may not change" in text:
        return f"it cannot be changed: {text}", "delete the object there"
    return text, "fix that"


_PLACEHOLDER = "\0"
"""Stands for the namespace's name in an error, so that the same error of many namespaces becomes one line."""

_RESOURCES = {
    "secrets": "Secret", "configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount",
    "scrapeconfigs.monitoring.coreos.com": "ScrapeConfig", "prometheusrules.monitoring.coreos.com": "PrometheusRule",
}  # fmt: skip


def match_errors(changes: Iterable[Change], errors: Iterable[str]) -> tuple[list[tuple[str, str]], set[Ref]]:
    """Match the changes that are still due after a call with the errors that kubectl printed in that call.

    Return a problem and its remedy for each kind of refusal, and the objects to try again: those whose version had
    changed, and those without an error, since they have changed in the meantime.

    kubectl keeps the order, and does not always name the namespace: not for an outdated version, nor a webhook.
    """
    left = list(changes)
    refusals: list[tuple[str, tuple[str, str, str, bool]]] = []
    again: set[Ref] = set()
    for error in errors:
        change = next((each for each in left if _may_be_about(each.ref, error)), None)
        if change is None:
            continue  # no longer due
        left.remove(change)
        if "the object has been modified" in error:
            again.add(change.ref)
        else:
            why, remedy = explain_refusal(error)
            anywhere = re.sub(rf"(?<![\w-]){change.ref.namespace}(?![\w-])", _PLACEHOLDER, why)
            local = change.ref.kind == "ServiceAccount" or _is_of_namespace(error)
            refusals.append((change.ref.namespace, (change.action, anywhere, remedy, local)))
    again |= {change.ref for change in left}
    problems: list[tuple[str, str]] = []
    for (first, (action, why, remedy, local)), namespaces in group_namespaces(refusals):
        text = f"could not {action} {join_names(namespaces)}: {why.replace(_PLACEHOLDER, first)}"
        what = (text, f"{remedy} and run again")
        problems.append(NamespaceProblem(*what) if local else what)
    return problems, again


def _is_of_namespace(error: str) -> bool:
    """Return whether a refusal is about what is in that namespace, or about its end.

    Rights, webhooks and policies are the cluster's, and may refuse for a moment only.
    """
    if missing_right(error) or "webhook" in error or "ValidatingAdmissionPolicy" in error:
        return False
    signs = ("immutable", "may not change", "is being terminated", "exceeded quota")
    return any(sign in error for sign in signs) or bool(re.search(r'namespaces "[^"]*" not found', error))


def _may_be_about(ref: Ref, error: str) -> bool:
    """Return whether an error may be about an object: nothing in it says otherwise."""
    for resource, kind in _RESOURCES.items():
        if f'{resource} "' in error:
            return kind == ref.kind and f'{resource} "{ref.name}"' in error and _in_namespace(ref, error)
    return _in_namespace(ref, error)


def _in_namespace(ref: Ref, error: str) -> bool:
    named = [word for word in ("in the namespace", "in namespace", "namespaces") if f'{word} "' in error]
    return not named or any(f'{word} "{ref.namespace}"' in error for word in named)
