"""What a cluster ought to hold of ours, what it holds, and the changes between the two.

Everything of ours is found by its label, so that what a setting no longer names is found as well. What has our name
and not our label is somebody else's, and is never written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tasks.accounts.logins import Login
from tasks.cluster_control import pull_secrets, service_accounts
from tasks.cluster_control.kubectl import MANAGER, join_names
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

LISTED = "registry_pull_secret_namespaces"


@dataclass(frozen=True)
class Cluster:
    """What a cluster holds: `namespaces` with whether each is going, `nodes` with their names and addresses.

    Of `held` and `accounts` only those are told that have to do with us. `unread` are the kinds that could not be
    read, as kubectl writes them, with its `complaints`; `program` and `config` are how it was called.
    """

    program: str
    config: str
    namespaces: Mapping[str, bool] = field(default_factory=dict)
    nodes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    held: Mapping[Ref, ExistingObject] = field(default_factory=dict)
    accounts: Mapping[Ref, ServiceAccount] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterTarget:
    """The login that pulls, and the CA's certificate as PEM text."""

    login: Login
    ca_pem: str


@dataclass(frozen=True)
class Change:
    """One object to be written or, without a manifest, to be deleted.

    `what` is done and `why` are the same in each namespace.
    """

    ref: Ref
    what: str
    why: str
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass
class Plan:
    """The changes, and what is to be told.

    `problems` with their remedies keep the run from being finished, `notes` do not.
    """

    changes: list[Change] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(settings: Settings, wanted: ClusterTarget, found: Cluster) -> Plan:
    """Return what is to be changed in the cluster; what stands against a part of it does not keep it from the rest."""
    made = Plan()
    chosen = _chosen(settings, found, made)
    secret = pull_secrets.pull_secret(settings, wanted.login)
    foreign = _place(secret, f"the pull secret {secret.name}", chosen, found, made)
    for (namespace, whose), others in group_namespaces(
        (namespace, whose) for namespace, whose in foreign.items()
    ):
        made.problems.append(
            (
                f"the secret {secret.name} in {join_names(others)} is not ours ({whose}), and stays as it is",
                f"delete it (kubectl -n {namespace} delete secret {secret.name}) or set another "
                "registry_pull_secret_name, and run again",
            )
        )
    if "configmaps" not in found.unread:
        _place_maps(settings, wanted, chosen, found, made)
    if "serviceaccounts" not in found.unread:
        _place_entries(settings, chosen, foreign, found, made)
    _remove(settings, chosen, found, made)
    return made


def _chosen(settings: Settings, found: Cluster, made: Plan) -> list[str]:
    """Return the namespaces that are to be served and can be."""
    named = settings.registry_pull_secret_namespaces
    if named == ("*",):
        return [
            name for name, going in found.namespaces.items() if not going and not name.startswith("kube-")
        ]
    if missing := [name for name in named if name not in found.namespaces]:
        made.problems.append(
            (
                f"{LISTED}: there is no namespace {join_names(missing)}",
                f"make it (kubectl create namespace {missing[0]}) or take it out of the setting, and run again",
            )
        )
    if going := [name for name in named if found.namespaces.get(name)]:
        made.problems.append(
            (
                f"{LISTED}: {join_names(going)} is being deleted, and takes nothing new",
                "take it out of the setting, or make it anew when it is gone, and run again",
            )
        )
    return [name for name in named if found.namespaces.get(name) is False]


def _place(
    content: Content, what: str, namespaces: Iterable[str], found: Cluster, made: Plan
) -> dict[str, str]:
    """Add the changes that bring a content to namespaces; return those where it is somebody else's, with whose."""
    foreign = {}
    for namespace in namespaces:
        ref = Ref(content.kind, namespace, content.name)
        held = found.held.get(ref)
        if held and not held.ours:
            foreign[namespace] = held.whose
        elif held is None or content.differs(held):
            why = "its content is not as it should be" if held else "it is missing"
            made.changes.append(Change(ref, f"write {what} in", why, content.manifest(namespace)))
    return foreign


def _place_maps(
    settings: Settings, wanted: ClusterTarget, chosen: Iterable[str], found: Cluster, made: Plan
) -> None:
    foreign = _place(pull_secrets.ca(wanted.ca_pem), f"the CA as ConfigMap {CA_NAME}", chosen, found, made)
    if foreign:
        first, whose = next(iter(foreign.items()))
        made.problems.append(
            (
                f"the ConfigMap {CA_NAME} in {join_names(foreign)} is not ours ({whose}), and stays as it is",
                f"delete it (kubectl -n {first} delete configmap {CA_NAME}) and run again",
            )
        )
    if found.namespaces.get(HOSTING_NAMESPACE) is not False:
        return
    other = _place(
        pull_secrets.hosting(settings), f"the ConfigMap {HOSTING}", [HOSTING_NAMESPACE], found, made
    )
    for whose in other.values():
        made.notes.append(
            f"the ConfigMap {HOSTING} in {HOSTING_NAMESPACE} is not ours ({whose}): it tells tools of "
            "another registry"
        )


def _place_entries(
    settings: Settings, chosen: Collection[str], foreign: Collection[str], found: Cluster, made: Plan
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
                why = "its pods would pull without it"
                made.changes.append(
                    Change(ref, f"add {secret} to the service account {name} in", why, manifest)
                )
    for (_, name), namespaces in group_namespaces(absent):
        made.notes.append(
            f"there is no service account {name} in {join_names(namespaces)}: the next run after it is made gives it "
            "the pull secret"
        )


def _remove(settings: Settings, chosen: Collection[str], found: Cluster, made: Plan) -> None:
    """Add the changes that take out what is ours and no longer asked for.

    What is in a namespace that is being deleted goes with it.
    """
    names = {pull_secrets.CA_NAME, settings.registry_pull_secret_name}
    why = f"{LISTED} leaves that namespace out"
    for ref, account in found.accounts.items():
        kept = ref.namespace in chosen and ref.name in settings.registry_patch_service_accounts
        new = None if kept or found.namespaces.get(ref.namespace) else service_accounts.without_entry(account)
        if new:
            reason = "registry_patch_service_accounts leaves it out" if ref.namespace in chosen else why
            what = f"take {account.ours} from the service account {ref.name} in"
            manifest = service_accounts.manifest(new, ref.namespace, ref.name)
            made.changes.append(Change(ref, what, reason, manifest))
    for ref, held in found.held.items():
        # A copy that somebody made of ours has the label too, and was written by others alone.
        if not held.ours or MANAGER not in held.managers or found.namespaces.get(ref.namespace):
            continue
        if ref.name == HOSTING and ref.namespace == HOSTING_NAMESPACE:
            continue
        if ref.namespace not in chosen or ref.name not in names:
            what = "the pull secret" if ref.kind == "Secret" else "the ConfigMap"
            reason = why if ref.namespace not in chosen else "it has another name now"
            made.changes.append(Change(ref, f"delete {what} {ref.name} from", reason))


def text(changes: Iterable[Change]) -> str:
    """Return what is done and why: a line for each kind of change, with its namespaces."""
    lines = group_namespaces((change.ref.namespace, (change.what, change.why)) for change in changes)
    return "\n".join(f"{what} {join_names(namespaces)}: {why}" for (_, (what, why)), namespaces in lines)


def check_read(found: Cluster, conflict: Conflict) -> None:
    """Raise `conflict` where what could not be read leaves nothing to be decided."""
    if found.complaints and (not found.unread or found.unread & {"namespaces", "secrets"}):
        raise conflict


def group_namespaces(pairs: Iterable[tuple[str, K]]) -> list[tuple[tuple[str, K], list[str]]]:
    """Return namespaces by what is said of them, in the order of the first of each, with the first one's name."""
    found: dict[K, list[str]] = {}
    for namespace, said in pairs:
        found.setdefault(said, []).append(namespace)
    return [((namespaces[0], said), namespaces) for said, namespaces in found.items()]


def nodes_not_in_inventory(nodes: Mapping[str, frozenset[str]], known: Iterable[str]) -> list[str]:
    """Return the nodes of which neither name nor address is `known`; `nodes` has all names of each, its own included.

    A short name and the same one with a domain are one.
    """
    names = {each.lower() for each in known}
    names |= {_short(each) for each in names}
    return [
        node
        for node, own in nodes.items()
        if not names & {each.lower() for each in own} | (names & {_short(each.lower()) for each in own})
    ]


def _short(name: str) -> str:
    """Return a name without its domain; an address as it is."""
    return name if name.replace(".", "").isdigit() or ":" in name else name.partition(".")[0]
