"""Write pull secrets, service accounts' entries and ConfigMaps in the cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.accounts.logins import Login
from tasks.backup import age
from tasks.clients.endpoint import finished_registry
from tasks.cluster_control import kubectl, kubectl_errors, monitoring, pull_secrets, watching
from tasks.cluster_control import plan as cluster_control
from tasks.cluster_control.facts import ClusterFact
from tasks.cluster_control.monitoring import Watched
from tasks.cluster_control.plan import Change, Cluster, ClusterTarget, NamespaceProblem, Plan
from tasks.cluster_control.pull_secrets import Ref
from tasks.metrics.monitoring import monitoring as texts
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact, record_problem, stop_host
from tasks.run.context import ROOT, Run, current
from tasks.run.pending_hosts import mark_finished
from tasks.settings.load import Settings

TRIES = 5
"""How often to try again to write service accounts that somebody else changes at the same time."""


@dataclass
class _Progress:
    """The problems of the operation so far, and kubectl's errors in the last try.

    `undecided` until the changes are known; if they never are, the host has failed with a problem already.
    """

    problems: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    undecided: bool = True

    def record(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems += problems
        for problem, remedy in problems:
            record_problem(host, problem, remedy)


@operation()
def serve() -> Generator[PyinfraCommand, None, None]:
    """Bring our objects in the cluster to what they should be, and fail at the end if a part of them could not be."""
    progress = _Progress()
    yield from apply_steps(host, partial(_decide, progress), partial(_noop_reason, progress))
    for _ in range(TRIES):
        if not progress.errors:
            break
        yield from apply_steps(host, partial(_decide_again, progress))
    if progress.undecided:
        return
    if progress.errors:
        names = ", ".join(current().configuration.settings.registry_patch_service_accounts)
        progress.record(
            [
                NamespaceProblem(
                    f"could not write service accounts ({names}): others keep changing them", "run again"
                )
            ]
        )
    if not progress.problems:
        mark_finished(current(), host, "cluster_control", _summary(current()))
        return
    if all(isinstance(each, NamespaceProblem) for each in progress.problems):
        mark_finished(
            current(), host, "cluster_control", f"{_summary(current())}, but for what is named below"
        )
        current().report.note(
            host.name,
            "no rotation waits for namespaces that cannot be finished: what pulls there with a former password is "
            "refused once that is revoked",
        )
        if "registry" in host.groups:
            return  # rotations/deploy.py fails this host, after the rotations
    if host.state.is_executing or current().dry:
        yield from stop_host(host)


def read_facts(run: Run) -> Cluster:
    """Read what the cluster has; `Conflict` if it could not be read."""
    settings = run.configuration.settings
    found = read_fact(host, ClusterFact, holds=True, settings=settings, operator=settings.registry_metrics)
    if not settings.registry_metrics and monitoring.is_left(found.objects):
        found = read_fact(host, ClusterFact, holds=True, settings=settings, operator=True)
    kubectl.check_found(found.program, found.config)
    cluster_control.check_read(found, kubectl_errors.read_conflict(found.errors, found.config))
    return found


def _decide(progress: _Progress, run: Run) -> list[AnyStep]:
    """Return the steps, and record the problems that keep others from being taken."""
    planned = plan(run)
    found = read_facts(run)
    progress.undecided = False
    if found.unreadable:
        stop = kubectl_errors.read_conflict(found.errors, found.config)
        planned.problems.append((stop.problem, stop.remedy))
    for note in (*planned.notes, *_note_on_nodes(run, found)):
        run.report.note(host.name, note)
    progress.record(planned.problems)
    return _steps(run.configuration.settings, planned.changes, progress)


def _decide_again(progress: _Progress, run: Run) -> list[AnyStep]:
    """Return the steps to try again after errors of kubectl, and record the errors that are final."""
    progress.undecided = True
    del run.facts[host.name, ClusterFact]
    planned = plan(run)
    progress.undecided = False
    problems, again = kubectl_errors.match_errors(planned.changes, progress.errors)
    progress.errors = []
    settings, login, passwords = run.configuration.settings, _login(run), _passwords(run)
    progress.record(
        [
            NamespaceProblem(shown, each[1]) if isinstance(each, NamespaceProblem) else (shown, each[1])
            for each in problems
            if (shown := pull_secrets.without_secrets(each[0], settings, login, *passwords))
        ]
    )
    return _steps(settings, [change for change in planned.changes if change.ref in again], progress)


def _passwords(run: Run) -> list[str]:
    """Return what else no message may hold: the password of Prometheus, as it is and as it is in its secret."""
    watched = _watched(run)
    if watched is None:
        return []
    return [watched.login.password, *monitoring.contents(watched)[0].data.values()]


def plan(run: Run) -> Plan:
    """Return what a run would do; `Conflict` if the registry is not finished or the cluster could not be read."""
    settings = run.configuration.settings
    registry = finished_registry(host)
    found = read_facts(run)
    planned = cluster_control.plan(settings, ClusterTarget(_login(run), registry.ca_pem), found)
    watching.watch(_watched(run), found, planned)
    return planned


def _watched(run: Run) -> Watched | None:
    """Return what the cluster's Prometheus is to watch; None without metrics."""
    settings, context = run.configuration.settings, run.part(RegistryContext)
    if not settings.registry_metrics or context.address is None or context.authorities is None:
        return None
    backups = bool(age.targets(run.configuration))
    found = texts(settings, str(ROOT / "templates"), backups=backups)
    login = context.login(found.account)
    return Watched(found, login, context.authorities.ca_bundle, context.address, settings.registry_hostname)


def _login(run: Run) -> Login:
    return run.part(RegistryContext).login(run.configuration.settings.registry_pull_secret_account)


def _steps(settings: Settings, changes: Sequence[Change], progress: _Progress) -> list[AnyStep]:
    """Return one step for all objects to write, and one for all to delete."""
    written = [change for change in changes if change.manifest]
    deleted = [change for change in changes if not change.manifest]
    calls: list[tuple[list[Change], str, list[Any]]] = [
        (written, kubectl.apply_script(settings), [change.manifest for change in changes if change.manifest]),
        (deleted, kubectl.delete_script(settings), [_reference(change.ref) for change in deleted]),
    ]
    return [
        RemoteStep(
            Step(cluster_control.text(part), script, pull_secrets.document(items)),
            lambda output: progress.errors.extend(kubectl_errors.read_errors(output.splitlines())),
        )
        for part, script, items in calls
        if part
    ]


def _reference(ref: Ref) -> dict[str, Any]:
    return {
        "apiVersion": monitoring.API_VERSIONS.get(ref.kind, "v1"),
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
    }


def listed_nodes() -> list[str]:
    """Return the inventory's names of the hosts in `cluster_nodes`."""
    return [each.name for each in host.inventory.groups.get("cluster_nodes", ())]


def unlisted_nodes(run: Run, found: Cluster) -> list[str]:
    """Return the cluster's nodes that are not in the inventory. A Docker host is if its pods come through Docker."""
    docker_hosts = [each.name for each in host.inventory.groups.get("docker_hosts", ())]
    return cluster_control.nodes_not_in_inventory(
        found, _names_of(run, listed_nodes()), _names_of(run, docker_hosts)
    )


def _names_of(run: Run, hosts: Iterable[str]) -> set[str]:
    known: set[str] = set()
    for name in hosts:
        each = host.inventory.get_host(name)
        known |= {name, name.rpartition("/")[2], str(each.data.get("ssh_hostname") or name)}
        known |= run.machines[name].names if name in run.machines else set()
    return known


def _note_on_nodes(run: Run, found: Cluster) -> list[str]:
    if not (unlisted := unlisted_nodes(run, found)):
        return []
    unreached = [name for name in listed_nodes() if name not in run.machines]
    but = f" (or they are among {', '.join(unreached)}, which this run did not reach)" if unreached else ""
    return [
        f"nodes of the cluster that are not in cluster_nodes: {kubectl.join_names(unlisted, 'nodes')}{but}; "
        "pods there cannot pull: add them to the inventory and run again"
    ]


def _noop_reason(progress: _Progress, run: Run) -> str:
    if progress.problems:
        return "the rest is as it should be"
    named = run.configuration.settings.registry_pull_secret_namespaces
    return "every chosen namespace has its pull secret" if named else "no namespace is chosen"


def _summary(run: Run) -> str:
    settings = run.configuration.settings
    names = settings.registry_pull_secret_namespaces
    where = "every namespace but kube-*" if names == ("*",) else ", ".join(names) or "no namespace"
    return f"pull secret {settings.registry_pull_secret_name} in {where}"
