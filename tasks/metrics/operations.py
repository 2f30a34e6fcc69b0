"""Tell the registry host what this run came to, for Prometheus."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Generator
from dataclasses import replace

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import age
from tasks.metrics import figures
from tasks.metrics.figures import Figures
from tasks.registry import image_age, metrics
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, user_of
from tasks.remote import files
from tasks.remote.files import File
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, apply_steps
from tasks.run.context import Run


@operation()
def tell() -> Generator[PyinfraCommand, None, None]:
    """Write what this run knows beside the metrics, if anything of it has changed."""
    yield from apply_steps(host, _decide, "the metrics have what this run knows")


def _decide(run: Run) -> list[AnyStep]:
    return list(steps(run, figures.text(_figures(run))))


def steps(run: Run, text: str) -> list[Step]:
    """Return the step that writes the text, unless the host has it."""
    context = run.part(RegistryContext)
    found, record = context.found, context.storage
    if found is None or record is None:
        raise LookupError("the operations on the registry come first")
    path, user = f"{FOLDER}/{metrics.OF_RUN}", user_of(found.paths[record.path])
    written = files.place([File(path, "0600", user, user, text)], found.paths)
    # A first run found no folder to note itself in.
    marks = shlex.join(
        [f"{FOLDER}/{metrics.RUN}", *([f"{FOLDER}/{metrics.TIMER_RUN}"] if run.by_timer else [])]
    )
    return [replace(step, script=f"{step.script} && touch {marks}") for step in written]


def _figures(run: Run) -> Figures:
    context = run.part(RegistryContext)
    leaf, authorities, found = context.desired.leaf, context.authorities, context.found
    if leaf is None or authorities is None or found is None:
        raise LookupError("the operations on the registry come first")
    now = dt.datetime.now(dt.UTC)
    outdated = [built for built in found.built.values() if image_age.warning(built, found.debian, now)]
    targets = age.targets(run.configuration)
    return Figures(
        leaf.certificate.not_valid_after_utc,
        authorities.latest.certificate.not_valid_after_utc,
        len([each for each in run.report.problems if run.report.problems[each]]),
        len(outdated),
        figures.last_backup(targets, age.read_last(run.store.read_backups())),
    )
