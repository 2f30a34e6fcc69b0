"""Tell the registry host what this run came to, for Prometheus."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import age
from tasks.metrics import figures, monitoring
from tasks.metrics.figures import Figures
from tasks.registry import image_age, metrics
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, user_of
from tasks.remote import files
from tasks.remote.files import File
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, LocalStep, apply_steps
from tasks.run.context import ROOT, Run
from tasks.state.files import StateFiles, read_text

FOLDER_IN_STATE = "monitoring"


@operation()
def tell() -> Generator[PyinfraCommand, None, None]:
    """Write what this run knows beside the metrics, and to the state what Prometheus needs, if it has changed."""
    yield from apply_steps(host, _decide, "the metrics have what this run knows")


@operation()
def forget() -> Generator[PyinfraCommand, None, None]:
    """Remove from the state what Prometheus needed."""
    yield from apply_steps(host, lambda run: removal(run.store.folder))


def _decide(run: Run) -> list[AnyStep]:
    context, account = run.part(RegistryContext), monitoring.reader(run.configuration.settings)
    found = monitoring.monitoring(
        run.configuration.settings, str(ROOT / "templates"), backups=bool(age.targets(run.configuration))
    )
    if context.authorities is None:
        raise LookupError("the operations on the registry come first")
    texts = monitoring.files(found, context.desired.passwords[account], context.authorities.ca_bundle)
    return [*steps(run, figures.text(_figures(run))), *kept(run.store.folder, texts)]


def kept(state: Path, texts: Mapping[str, str]) -> list[LocalStep]:
    """Return the step that writes to the state what Prometheus needs, by name, as far as it is not there."""
    folder = state / FOLDER_IN_STATE
    changed = [name for name, text in texts.items() if read_text(folder / name) != text]

    def write() -> None:
        for name in changed:
            StateFiles(state).write(folder / name, texts[name])

    reason = "Prometheus and Grafana can read that"
    return [LocalStep(f"write {', '.join(changed)} in {folder}: {reason}", write)] if changed else []


def left(state: Path) -> list[Path]:
    """Return what `kept` wrote and is still there."""
    paths = [state / FOLDER_IN_STATE / name for name in monitoring.FILES]
    return [path for path in paths if path.exists()]


def removal(state: Path) -> list[LocalStep]:
    """Return the step that removes what `kept` wrote; other files there stay."""
    folder, present = state / FOLDER_IN_STATE, left(state)

    def remove() -> None:
        for path in present:
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()

    text = f"remove what Prometheus read from {folder}: registry_metrics is off"
    return [LocalStep(text, remove)] if present else []


def steps(run: Run, text: str) -> list[Step]:
    """Return the step that writes the text, unless the host has it."""
    context = run.part(RegistryContext)
    found, record = context.found, context.storage
    if found is None or record is None:
        raise LookupError("the operations on the registry come first")
    path, user = f"{FOLDER}/{metrics.OF_RUN}", user_of(found.paths[record.path])
    written = files.place([File(path, "0600", user, user, text)], found.paths)
    touch = metrics.touch(FOLDER, by_timer=run.by_timer)  # a first run found no folder to note itself in
    return [replace(step, script=f"{step.script} && {touch}") for step in written]


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
