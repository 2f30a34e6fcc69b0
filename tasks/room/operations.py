"""Read what is stored and what is in use, and delete the tags that may go."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import gevent
from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.host import Host
from pyinfra.api.operation import operation

from tasks.collection import operations as collection
from tasks.registry import web
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, user_of
from tasks.remote import files
from tasks.remote.files import File
from tasks.remote.steps import Conflict
from tasks.room import plan, retention, shown, untag
from tasks.room.cluster import ClusterUsesFact
from tasks.room.facts import UsedImagesFact
from tasks.room.retention import Retention
from tasks.room.uses import Use, Uses, in_use
from tasks.run import output
from tasks.run.apply import AnyStep, RemoteStep, apply_steps
from tasks.run.context import Run
from tasks.storage.collection import Times
from tasks.storage.facts import StorageFact
from tasks.storage.graph import Root
from tasks.storage.stored import Stored


@dataclass
class RoomContext:
    """What is in use. None: that is unknown, and nothing may be deleted."""

    uses: tuple[Use, ...] | None = None


def kept_manifests(run: Run, stored: Stored) -> frozenset[Root]:
    """Return the manifests that stay also without a tag, given a reading that may be newer than that of the tags.

    Raises `Conflict` if it is not known what is in use.
    """
    uses = run.part(RoomContext).uses
    if uses is None:
        raise Conflict("what is in use is not known, so nothing is deleted", "fix that and run again")
    return retention.kept_manifests(
        stored, in_use(stored, uses), run.configuration.settings.registry_untagged_days
    )


def is_due(run: Run) -> bool:
    """Return whether this run deletes: it was asked to, or it is the timer's and there are rules."""
    return "make room" in run.requests or (
        run.by_timer and bool(run.configuration.settings.registry_retention)
    )


@operation()
def delete_tags() -> Generator[PyinfraCommand, None, None]:
    """Delete the tags that the rules let go and nothing uses."""
    yield from apply_steps(host, _decide, "no tag may go")


def is_shown(run: Run) -> bool:
    """Return whether this run tells the web page what is stored: it reads that anyway, or nobody waits for it."""
    return run.configuration.settings.registry_web and ("make room" in run.requests or run.by_timer)


@operation()
def show() -> Generator[PyinfraCommand, None, None]:
    """Tell the web page what is stored and what uses it."""
    yield from apply_steps(host, _show, "the web page shows what is stored")


@operation()
def collect() -> Generator[PyinfraCommand, None, None]:
    """Delete what nothing needs any more."""
    yield from collection.collect(_collection_rules)


def _collection_rules(run: Run, stored: Stored) -> tuple[frozenset[Root], Times]:
    settings = run.configuration.settings
    grace, days = settings.registry_gc_grace_minutes, settings.registry_trash_days
    return kept_manifests(run, stored), Times(grace * 60, days * retention.DAY)


def _decide(run: Run) -> list[AnyStep]:
    settings, context = run.configuration.settings, run.part(RegistryContext)
    if not settings.registry_delete_enabled:
        raise Conflict(
            "registry_delete_enabled is off, so nothing is deleted", "set it to True and run again"
        )
    if context.storage is None or (host.state.is_executing and not context.served):
        raise Conflict("the registry is not finished, so nothing is deleted", "fix that and run again")
    uses = _read_uses(run) if settings.registry_keep_running else Uses()
    plan.check_uses(uses.unread)
    run.part(RoomContext).uses = uses.found
    # Read after what is in use, and right before the decision.
    stored = get_fact(
        host.state, host, StorageFact, kwargs={"folder": context.storage.path}, apply_failed_hosts=False
    )
    if stored is None:
        raise Conflict(
            "what is stored could not be read (see above), so nothing is deleted", "fix that and run again"
        )
    plan.check_read(stored)
    asked = settings.registry_keep_running
    rules, days = settings.registry_retention, settings.registry_untagged_days
    decided = retention.decide(stored, rules, in_use(stored, uses.found), days, asked=asked)
    if unmatched := retention.unmatched(stored, rules):
        run.report.note(host.name, plan.unmatched(unmatched))
    run.report.note(host.name, plan.summary(decided, days, asked=asked))
    _show_kept(run, decided)
    if not decided.deleted:
        return []
    texts = [plan.line(each) for each in decided.deleted]
    step = untag.step(decided.deleted, texts, context.storage.path)
    return [RemoteStep(step, partial(_note_outcome, run, decided))]


def _show(run: Run) -> list[AnyStep]:
    """Return the step that writes what the page shows, unless it is there. It is no reason for a run to fail.

    A plan does not look: what it would see is of before.
    """
    context = run.part(RegistryContext)
    record, found = context.storage, context.found
    if not host.state.is_executing or record is None or found is None or not context.served:
        return []
    uses = run.part(RoomContext).uses
    read = Uses(uses) if uses and run.configuration.settings.registry_keep_running else _read_uses(run)
    stored = get_fact(host.state, host, StorageFact, kwargs={"folder": record.path}, apply_failed_hosts=False)
    if stored is None or stored.problems:
        return []
    text = shown.index(stored, in_use(stored, read.found), uses_known=not read.unread)
    user = user_of(found.paths[record.path])
    file = File(f"{FOLDER}/{web.SHOWN}/{web.INDEX}", "0600", user, user, text)
    return [files.write(file, "the web page shows it")] if files.place([file], found.paths) else []


def _show_kept(run: Run, decided: Retention) -> None:
    for each in decided.kept:
        if each.spared or run.verbose:
            output.write("=", host.name, plan.line(each))


def _note_outcome(run: Run, decided: Retention, printed: str) -> None:
    for note in untag.read_outcome(decided.deleted, printed):
        run.report.note(host.name, note)


def _read_uses(run: Run) -> Uses:
    """Read what every host of the inventory uses, and what the cluster does, at the same time."""
    settings = run.configuration.settings
    hosts = [each for each in host.inventory if each.name not in settings.registry_excused_hosts]
    readers = [gevent.spawn(_read_host, run, each) for each in hosts]
    control = [each for each in hosts if "cluster_control" in each.groups]
    readers += [
        gevent.spawn(_read, run, each, ClusterUsesFact, "the cluster", settings=settings) for each in control
    ]
    with output.under_way(f"[{host.name}] see what all hosts use"):
        gevent.joinall(readers, raise_error=True)
    found = [each.value for each in readers]
    unread = [line for uses in found for line in uses.unread]
    if not control and (pods := [name for uses in found for name in uses.pods_on]):
        unread.append(
            f"{pods[0]} has pods, and no host is in cluster_control: what its cluster will start is not known"
        )
    return Uses(tuple(use for uses in found for use in uses.found), tuple(unread))


def _read_host(run: Run, each: Host) -> Uses:
    read = _read(run, each, UsedImagesFact, "what it uses")
    return Uses(
        tuple(Use(f"{use.by} on {each.name}", use.text) for use in read.found),
        tuple(f"{each.name}: {line}" if each.name not in line else line for line in read.unread),
        (each.name,) if read.pods_on else (),
    )


def _read(run: Run, each: Host, fact: type[FactBase[Uses | None]], what: str, **arguments: object) -> Uses:
    """Read a fact of a host that this run reached, in a greenlet of its own, which has no `pyinfra.host`.

    A plan waits until it knows whether it has rights there.
    """
    if not each.state.is_executing and each in each.state.active_hosts:
        run.inspected[each.name].wait()
    if not each.connected or each.name not in run.machines:
        return Uses(unread=(f"{each.name} was not reached",))
    found: Uses | None = get_fact(each.state, each, fact, kwargs=arguments, apply_failed_hosts=False)
    return found if found is not None else Uses(unread=(f"{each.name}: {what} could not be read",))
