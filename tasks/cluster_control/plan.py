"""The changes that bring our objects in a cluster to what they should be.

Our objects are found by their label, so that those which no setting names any more are found as well. An object with
one of our names but without our label belongs to somebody else and is never written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tasks.accounts.logins import Login
from tasks.cluster_control import monitoring, pull_secrets, service_accounts
from tasks.cluster_control.kubectl import MANAGER, join_names
from tasks.cluster_control.monitoring import Operator
from tasks.cluster_control.pull_secrets import (
    CA_NAME,
    HOSTING,
    HOSTING_NAMESPACE,
    Content,
    ExistingObject,
    Ref,
)
from tasks.cluster_control.service_accounts import ServiceAccount
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

K = TypeVar("K")

NAMESPACES_KEY = "registry_pull_secret_namespaces"


@dataclass(frozen=True)
class Cluster:
    """What a cluster has: `namespaces`, and whether each is terminating; `nodes` with all names and addresses of each;
    `docker_nodes` are those whose pods are pulled through Docker Engine. `operator` is None if it was not looked for.

    `objects` and `accounts` have only what concerns us. `unreadable` are the kinds that could not be read, as kubectl
    calls them, `errors` its messages; `program` and `config` are what it was called with.
    """

    program: str
    config: str
    namespaces: Mapping[str, bool] = field(default_factory=dict)
    nodes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    objects: Mapping[Ref, ExistingObject] = field(default_factory=dict)
    accounts: Mapping[Ref, ServiceAccount] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()
    docker_nodes: frozenset[str] = frozenset()
    operator: Operator | None = None


@dataclass(frozen=True)
class ClusterTarget:
    """What a cluster should be given: the login that pulls, and the CA's certificate as PEM text."""

    login: Login
    ca_pem: str


@dataclass(frozen=True)
class Change:
    """One object to write or, without a manifest, to delete. `action` and `reason` do not name the namespace."""

    ref: Ref
    action: str
    reason: str
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)


class NamespaceProblem(NamedTuple):
    """A problem and its remedy that anyone who may edit a chosen namespace can cause.

    No rotation waits for it: else they could keep a leaked password valid for as long as they like.
    """

    problem: str
    remedy: str


@dataclass
class Plan:
    """The changes, and what to report: `problems` with remedies, which leave the run unfinished, and `notes`."""

    changes: list[Change] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(settings: Settings, target: ClusterTarget, found: Cluster) -> Plan:
    """Return what to change in the cluster. A problem with one part does not keep the rest from being changed."""
    result = Plan()
    chosen = _servable(settings, found, result)
    secret = pull_secrets.pull_secret(settings, target.login)
    foreign = write(secret, f"the pull secret {secret.name}", chosen, found, result)
    for (namespace, origin), others in group_namespaces(
        (namespace, origin) for namespace, origin in foreign.items()
    ):
        result.problems.append(
            NamespaceProblem(
                f"the secret {secret.name} in {join_names(others)} is not ours ({origin}) and stays as it is",
                f"delete it (kubectl -n {namespace} delete secret {secret.name}) or set another "
                "registry_pull_secret_name, and run again",
            )
        )
    if "configmaps" not in found.unreadable:
        _write_config_maps(settings, target, chosen, found, result)
    if "serviceaccounts" not in found.unreadable:
        _add_entries(settings, chosen, foreign, found, result)
    _remove_unwanted(settings, chosen, found, result)
    return result


def _servable(settings: Settings, found: Cluster, result: Plan) -> list[str]:
    """Return the namespaces that the setting names and that can get our objects."""
    named = settings.registry_pull_secret_namespaces
    if named == ("*",):
        return [
            name
            for name, terminating in found.namespaces.items()
            if not terminating and not name.startswith("kube-")
        ]
    if missing := [name for name in named if name not in found.namespaces]:
        result.problems.append(
            NamespaceProblem(
                f"{NAMESPACES_KEY}: there is no namespace {join_names(missing)}",
                f"create it (kubectl create namespace {missing[0]}) or remove it from the setting, and run again",
            )
        )
    if terminating := [name for name in named if found.namespaces.get(name)]:
        result.problems.append(
            NamespaceProblem(
                f"{NAMESPACES_KEY}: {join_names(terminating)} is being deleted and accepts no new objects",
                "remove it from the setting, or recreate it once it is gone, and run again",
            )
        )
    return [name for name in named if found.namespaces.get(name) is False]


def write(
    content: Content, what: str, namespaces: Iterable[str], found: Cluster, result: Plan
) -> dict[str, str]:
    """Add the changes that write an object to namespaces; return where it is somebody else's, with its origin."""
    foreign = {}
    for namespace in namespaces:
        ref = Ref(content.kind, namespace, content.name)
        held = found.objects.get(ref)
        if held and not held.ours:
            foreign[namespace] = held.origin
        elif held is None or content.differs(held):
            why = "its content is not as it should be" if held else "it is missing"
            result.changes.append(Change(ref, f"write {what} in", why, content.manifest(namespace)))
    return foreign


def _write_config_maps(
    settings: Settings, target: ClusterTarget, chosen: Iterable[str], found: Cluster, result: Plan
) -> None:
    foreign = write(pull_secrets.ca(target.ca_pem), f"the CA as ConfigMap {CA_NAME}", chosen, found, result)
    if foreign:
        first, origin = next(iter(foreign.items()))
        result.problems.append(
            NamespaceProblem(
                f"the ConfigMap {CA_NAME} in {join_names(foreign)} is not ours ({origin}) and stays as it is",
                f"delete it (kubectl -n {first} delete configmap {CA_NAME}) and run again",
            )
        )
    if found.namespaces.get(HOSTING_NAMESPACE) is not False:
        return
    other = write(
        pull_secrets.hosting(settings), f"the ConfigMap {HOSTING}", [HOSTING_NAMESPACE], found, result
    )
    for origin in other.values():
        result.notes.append(
            f"the ConfigMap {HOSTING} in {HOSTING_NAMESPACE} is not ours ({origin}): tools in the "
            "cluster use another registry"
        )


def _add_entries(
    settings: Settings, chosen: Collection[str], foreign: Collection[str], found: Cluster, result: Plan
) -> None:
    secret, absent = settings.registry_pull_secret_name, []
    for name in settings.registry_patch_service_accounts:
        for namespace in chosen:
            ref = Ref("ServiceAccount", namespace, name)
            account = found.accounts.get(ref)
            if namespace in foreign:
                continue
            if account is None:
                absent.append((namespace, name))
            elif new := service_accounts.with_entry(account, secret):
                manifest = service_accounts.manifest(new, namespace, name)
                why = "its pods need it to pull"
                result.changes.append(
                    Change(ref, f"add {secret} to the service account {name} in", why, manifest)
                )
    for (_, name), namespaces in group_namespaces(absent):
        result.notes.append(
            f"there is no service account {name} in {join_names(namespaces)} yet: the next run after it is "
            "created adds the pull secret to it"
        )


def _remove_unwanted(settings: Settings, chosen: Collection[str], found: Cluster, result: Plan) -> None:
    """Add the changes that remove objects and entries of ours that no setting asks for any more.

    Nothing is removed from a namespace that is being deleted: all in it goes anyway.
    """
    names = {pull_secrets.CA_NAME, settings.registry_pull_secret_name}
    why = f"{NAMESPACES_KEY} does not name that namespace"
    for ref, account in found.accounts.items():
        kept = ref.namespace in chosen and ref.name in settings.registry_patch_service_accounts
        new = None if kept or found.namespaces.get(ref.namespace) else service_accounts.without_entry(account)
        if new:
            reason = "registry_patch_service_accounts does not name it" if ref.namespace in chosen else why
            action = f"remove {account.own} from the service account {ref.name} in"
            manifest = service_accounts.manifest(new, ref.namespace, ref.name)
            result.changes.append(Change(ref, action, reason, manifest))
    for ref, held in found.objects.items():
        # A copy that somebody made of our object has our label too, but others alone have written it.
        if not held.ours or MANAGER not in held.managers or found.namespaces.get(ref.namespace):
            continue
        if ref.name == HOSTING and ref.namespace == HOSTING_NAMESPACE:
            continue
        if ref.name in {monitoring.SECRET, monitoring.DASHBOARD}:
            continue  # watching.py
        if ref.namespace not in chosen or ref.name not in names:
            what = "the pull secret" if ref.kind == "Secret" else "the ConfigMap"
            reason = why if ref.namespace not in chosen else "registry_pull_secret_name names another"
            result.changes.append(Change(ref, f"delete {what} {ref.name} from", reason))


def text(changes: Iterable[Change]) -> str:
    """Return a line for each kind of change, with its namespaces and the reason."""
    lines = group_namespaces((change.ref.namespace, (change.action, change.reason)) for change in changes)
    return "\n".join(f"{what} {join_names(namespaces)}: {why}" for (_, (what, why)), namespaces in lines)


def check_read(found: Cluster, conflict: Conflict) -> None:
    """Raise `conflict` if so little could be read that nothing can be decided."""
    if found.errors and (not found.unreadable or found.unreadable & {"namespaces", "secrets"}):
        raise conflict


def group_namespaces(pairs: Iterable[tuple[str, K]]) -> list[tuple[tuple[str, K], list[str]]]:
    """Group namespaces by a second value; return the first namespace, the value and all namespaces of each group."""
    found: dict[K, list[str]] = {}
    for namespace, said in pairs:
        found.setdefault(said, []).append(namespace)
    return [((namespaces[0], said), namespaces) for said, namespaces in found.items()]


def nodes_not_in_inventory(
    found: Cluster, known: Iterable[str], docker_hosts: Iterable[str] = ()
) -> list[str]:
    """Return the nodes that have no name or address in `known`, or in `docker_hosts` if their pods come through Docker.

    A short name matches the same name with a domain.
    """
    listed, docker = _with_short_names(known), _with_short_names(docker_hosts)
    return [
        node
        for node, own in found.nodes.items()
        if not _with_short_names(own) & (listed | docker if node in found.docker_nodes else listed)
    ]


def _with_short_names(names: Iterable[str]) -> set[str]:
    lower = {each.lower() for each in names}
    return lower | {_short_name(each) for each in lower}


def _short_name(name: str) -> str:
    """Return a name without its domain, or an address unchanged."""
    return name if name.replace(".", "").isdigit() or ":" in name else name.partition(".")[0]
