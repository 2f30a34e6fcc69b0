"""The certificate authority and the leaf, on the controller. The registry host's facts decide, so it is its operation.

During a CA rollover its stage decides which CA issues the leaf, and which CAs hosts trust.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from dataclasses import replace
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks import docker_engine
from tasks.certificates import ca as authority
from tasks.certificates import rollover
from tasks.certificates.ca import KeyPair
from tasks.certificates.renewal import renewal_reason, renewal_time
from tasks.certificates.rollover import Successor
from tasks.registry import address, cache, images, metrics, outdated, ownership, plan, storage, suitable
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, user_of
from tasks.registry.facts import RegistryFact
from tasks.registry.plan import RegistryHost
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, LocalStep, apply_steps, read_fact
from tasks.run.context import ROOT, Run
from tasks.run.machines import check_own_clock
from tasks.state import clock
from tasks.state.store import State


@operation()
def renew() -> Generator[PyinfraCommand, None, None]:
    """Make the CA if there is none, and a leaf if one is due."""
    yield from apply_steps(host, _decide, _still_good)


def read_facts(run: Run) -> RegistryHost:
    """Read the state and the registry host; `StateError` or `Conflict` if either cannot be read."""
    context = run.part(RegistryContext)
    settings = run.configuration.settings
    context.present = run.store.read(settings.registry_accounts)
    context.before = context.before or context.present
    needed = images.wanted(settings, context.present.images, images.read_scripts(ROOT / "files"))
    references = [image.reference for image in needed.values() if image.reference]
    recorded = [context.present.storage[0]] if context.present.storage else []
    noted = settings.registry_metrics and not run.dry
    mark = metrics.mark(FOLDER, by_timer=run.by_timer) if noted else ""
    found = read_fact(host, RegistryFact, settings=settings, images=references, recorded=recorded, mark=mark)
    if found.engine == "silent":
        raise docker_engine.silent()
    return found


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    settings = run.configuration.settings
    context.found = read_facts(run)
    now = dt.datetime.now(dt.UTC)
    clock.check(context.present, run.store.folder, settings.registry_today, now)
    check_own_clock(run.clocks, host.name)
    cache.check(settings, context.found.shadowed, context.found.foreign)
    present = context.present
    context.desired = State(registry_host=host.name, images=present.images, storage=present.storage)
    claimant = ownership.Claimant(run.inventory, host.name, run.store.folder, present, (ROOT / "state",))
    if "adopt" in run.requests:
        context.outdated = outdated.find(present, context.found, now) is not None
        run.report.note(host.name, ownership.adopt(claimant, context.found, outdated=context.outdated))
    else:
        ownership.check(claimant, context.found)
        outdated.check(present, run.store.folder, context.found, now)
    records = ownership.storage_records(present, context.found)
    context.storage = storage.locate(settings.registry_storage_path, context.found.places, records)
    suitable.check(context.found.confinement)
    plan.check_port(settings.registry_port, context.found)
    context.address = _address(run)
    steps = [*_try_storage(context), *_correct_moments(run, now), *_authorities(run, now)]
    if (before := context.present.registry_host) != host.name:
        reason = f"{run.store.folder} has {before}" if before else f"it is new to {run.store.folder}"
        steps.append(
            LocalStep(
                f"note {host.name} as the registry host: {reason}",
                partial(run.store.write_record, host.name, present.images, present.storage),
            )
        )
    return steps + leaf(run, context.present.leaf, now, asked="new certificate" in run.requests)


def _try_storage(context: RegistryContext) -> list[Step]:
    """Return the step that tries the file system of the images' folder, if that has to be given away there."""
    if context.found is None or context.storage is None:
        raise LookupError("the registry host was not read")
    path = context.storage.path
    observed = context.found.paths[path]
    return suitable.trial(path, context.found.places[path], observed, user_of(observed))


def _address(run: Run) -> str:
    """Return the registry's address, and note a change of it."""
    context, settings = run.part(RegistryContext), run.configuration.settings
    present, found = context.present.leaf, context.found
    if found is None:
        raise LookupError("the registry host was not read")
    names = authority.subject_alt_names(present.certificate) if present else []
    last = address.told(names, settings.registry_extra_names)
    chosen = settings.registry_address or address.choose(found.addresses, last)
    if held := address.elsewhere(settings.registry_address, found.addresses):
        run.report.note(
            host.name,
            f"registry_address = {chosen} is no address of this host, which has {held}; correct it or take it out, "
            "unless something hands on to this host what comes to that address",
        )
    if last and chosen not in last:
        run.report.note(
            host.name,
            f"the registry's address is {chosen} now, no longer {', '.join(last)}: its certificate and every host of "
            "the inventory get the new one; give this host a fixed address (a lease in your router) to keep it",
        )
    return chosen


def leaf(run: Run, present: KeyPair | None, now: dt.datetime, *, asked: bool = False) -> list[AnyStep]:
    """Return the step to a new leaf if one is due, by the CA that issues now, and note the leaf in the run."""
    context = run.part(RegistryContext)
    if context.authorities is None:
        raise LookupError("the certificate authority comes first")
    served = context.authorities.names_for_leaf(context.server_names(run.configuration.settings))
    issuer, settings = context.authorities.issuer, run.configuration.settings
    reason: str | None = "there is none yet"
    if present:
        reason = renewal_reason(
            present.certificate,
            issuer.certificate,
            served,
            settings.registry_leaf_days,
            settings.renew_before_days,
            now,
        )
        reason = reason or ("it is asked for" if asked else None)
        if reason is None:
            context.decide(leaf=present)
            return []
    made = authority.make_leaf(issuer, served, settings.registry_leaf_days, now)
    context.decide(leaf=made)
    write = partial(run.store.write_leaf, made)
    return [LocalStep(f"make a certificate for {', '.join(served)}: {reason}", write)]


def _correct_moments(run: Run, now: dt.datetime) -> list[AnyStep]:
    """Return the steps that set moments in the future to `now`, and use the state as these leave it."""
    context, steps = run.part(RegistryContext), list[AnyStep]()
    present, corrected = context.present, clock.corrected(context.present, now)
    why = "the clock was ahead when it was written"
    if corrected.former != present.former:
        text = f"set the times in {run.store.folder}/former.json to now: {why}"
        steps.append(LocalStep(text, partial(run.store.write_former, corrected.former)))
    if corrected.authority and corrected.successor and corrected.successor != present.successor:
        write = partial(run.store.authorities.write_rollover, corrected.successor, corrected.authority)
        steps.append(LocalStep(f"set the day of the CA rollover to today: {why}", write))
    context.present = corrected
    return steps


def _authorities(run: Run, now: dt.datetime) -> list[AnyStep]:
    """Return the steps to the CAs that should be there, and note these in the run."""
    context = run.part(RegistryContext)
    settings, folder = run.configuration.settings, run.store.folder
    steps: list[AnyStep] = []
    present, successor = context.present.authority, context.present.successor
    if present is None:
        present = authority.make_authority(context.server_names(settings), settings.registry_ca_days, now)
        make = partial(run.store.authorities.write, present)
        steps.append(LocalStep(f"make a certificate authority in {folder}: there is none yet", make))
    elif successor is None and "new CA" in run.requests:
        successor = rollover.make_successor(
            present, context.server_names(settings), settings.registry_ca_days, now
        )
        make = partial(run.store.authorities.write_successor, successor, present)
        steps.append(LocalStep(f"make a new certificate authority in {folder}: it is asked for", make))
    elif successor:
        if "new CA" in run.requests:
            run.report.note(
                host.name,
                "a CA rollover was under way already and is carried on with; no further one was begun",
            )
        successor, carried_on = _carry_on(run, present, successor, now)
        steps += carried_on
    elif "retire CA" in run.requests:
        run.report.note(host.name, "there is no old certificate authority to retire")
    context.authorities = found = rollover.stage_at(
        present, successor, settings.registry_ca_overlap_days, now
    )
    if found.invalid and (successor is None or found.stage == "abandoned"):
        today = f" DATA=registry_today={settings.registry_today}" if settings.registry_today else ""
        raise Conflict(
            f"the certificate authority {found.invalid}, and so no certificate of the registry is valid",
            f"run make rotate-ca{today}, which makes a new one and gives it to every host"
            if successor is None
            else "neither is the one that was to replace it: move the state away and run make adopt",
        )
    shown = run.store.read_ca_bundle()
    if shown != found.ca_bundle:
        reason = "it is missing" if shown is None else "it is not what clients are to trust now"
        write = partial(run.store.write_ca_bundle, found.ca_bundle)
        steps.append(LocalStep(f"write {run.store.ca_bundle_path}: {reason}", write))
    return steps


def _carry_on(
    run: Run, present: KeyPair, successor: Successor, now: dt.datetime
) -> tuple[Successor, list[AnyStep]]:
    """Return a rollover's successor as this run leaves it, and the steps to that."""
    steps: list[AnyStep] = []
    found = rollover.stage_at(present, successor, run.configuration.settings.registry_ca_overlap_days, now)
    asked = "retire CA" in run.requests
    if found.stage == "abandoned":
        return successor, steps
    if asked and found.stage == "distributing":
        raise Conflict(
            "the old certificate authority cannot be retired before the new one serves",
            "run make rotate-ca, which says what it waits for, and then this again",
        )
    if successor.cross_certificate is None and (cross := authority.cross_sign(present, successor.ca, now)):
        successor = replace(successor, cross_certificate=cross)
        write = partial(run.store.authorities.write_cross_certificate, successor.ca, cross)
        steps.append(
            LocalStep("certify the new certificate authority by the old one: cross.crt is missing", write)
        )
    if not successor.retiring_old and (asked or found.stage == "retiring"):
        successor = replace(successor, issuing_since=successor.issuing_since or now.date(), retiring_old=True)
        asked_for = "it is asked for" if asked else "the overlap is over"
        reason = f"it {found.invalid}" if found.invalid else asked_for
        write = partial(run.store.authorities.write_rollover, successor, present)
        steps.append(LocalStep(f"retire the old certificate authority: {reason}", write))
    return successor, steps


def _still_good(run: Run) -> str:
    context = run.part(RegistryContext)
    leaf = context.desired.leaf
    if leaf is None:
        return "nothing was decided"
    end = leaf.certificate.not_valid_after_utc
    renewal = renewal_time(leaf.certificate, run.configuration.settings.renew_before_days)
    return f"the certificate is good until {end:%Y-%m-%d} and is renewed from {renewal:%Y-%m-%d} on"
