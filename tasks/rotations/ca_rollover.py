"""Move a CA rollover on to its next stage, once one run has finished every host."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from dataclasses import replace
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.certificates import rollover
from tasks.certificates.rollover import Authorities
from tasks.registry.context import RegistryContext
from tasks.registry.operations import certificates
from tasks.registry.operations import containers as registry
from tasks.run.apply import AnyStep, LocalStep, apply_steps
from tasks.run.context import Run
from tasks.run.pending_hosts import pending_hosts


@operation()
def finish() -> Generator[PyinfraCommand, None, None]:
    """Put the new CA into use once every host trusts it, and delete the old one once it was removed from every host."""
    yield from apply_steps(host, _decide)


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    found = context.authorities
    if found is None or found.successor is None or found.stage in {None, "overlap"}:
        return []
    if found.stage == "abandoned":
        text = "delete the new certificate authority, which is not valid yet: the clock was ahead when it was made"
        context.authorities = replace(found, successor=None, stage=None)
        return [LocalStep(text, partial(run.store.authorities.remove_successor, found.latest))]
    if pending := pending_hosts(run, host):
        run.report.note(host.name, _pending_note(found, pending))
        return []
    now = dt.datetime.now(dt.UTC)
    # Write the decision first: if this run is killed after that, any other finishes it.
    if found.stage == "distributing":
        successor = replace(found.successor, issuing_since=now.date())
        text = "put the new certificate authority into use: every host trusts it"
        decided = LocalStep(text, partial(run.store.authorities.write_rollover, successor, found.present))
        overlap = run.configuration.settings.registry_ca_overlap_days
        context.authorities = rollover.stage_at(found.present, successor, overlap, now)
    else:
        text = "delete the old certificate authority: no host is told to trust it any more"
        decided = LocalStep(text, partial(run.store.authorities.remove_old, found.present, found.latest))
        context.authorities = rollover.stage_at(found.latest, None, None, now)
    context.found = certificates.read_facts(run)
    return [decided, *certificates.leaf(run, context.desired.leaf, now), *registry.certificate(run)]


def _pending_note(found: Authorities, pending: list[str]) -> str:
    first = (
        "the new certificate authority is not put into use"
        if found.stage == "distributing"
        else "the old certificate authority is not deleted"
    )
    return (
        f"{first} before one run has finished every host, and waits for {', '.join(pending)}: run again when all can "
        f"be reached, or if they are gone for good make deploy DATA=registry_excused_hosts={','.join(pending)}"
    )
