"""Keep what came of a backup: take it out of the sender's hands, look at it, and give it its name."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import check, scripts
from tasks.backup.context import BackupContext, backup_folder, refuse, snapshot_path
from tasks.backup.generations import Backup, removable
from tasks.backup.layout import ARRIVED
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, LocalStep, RemoteStep, apply_steps, read_fact, stop_host
from tasks.run.context import Run, current
from tasks.storage.facts import StorageFact


def _is_sent(run: Run, target: str | None) -> bool:
    return host.state.is_executing and target in run.part(BackupContext).sent


@operation()
def take_on_host() -> Generator[PyinfraCommand, None, None]:
    """Take what came to a host out of the registry host's hands: what is looked at afterwards stays as it is."""
    yield from apply_steps(host, _take_on_host)


def _take_on_host(run: Run) -> list[AnyStep]:
    if not _is_sent(run, host.name):
        return []
    folder, name = backup_folder(run, host.name), run.part(BackupContext).name
    text = f"take {folder}/{name}{ARRIVED} from the registry host: it cannot change it any more"
    return [Step(text, scripts.arrive(folder, name, own=False))]


@operation()
def keep_on_host() -> Generator[PyinfraCommand, None, None]:
    """Look at what came to a host, and make it a backup."""
    yield from apply_steps(host, _keep_on_host)


def _keep_on_host(run: Run) -> list[AnyStep]:
    if not _is_sent(run, host.name):
        return []
    context, folder = run.part(BackupContext), backup_folder(run, host.name)
    text, script, stdin = _keep(run, host.name, folder, context.hosts[host.name].shelf.backups)
    return [RemoteStep(Step(text, script, stdin), partial(_keep_good, context, host.name))]


def _keep(run: Run, target: str, folder: str, present: tuple[Backup, ...]) -> tuple[str, str, str]:
    """Return the step that makes a backup of what came to a folder; `Conflict` if it is not what was sent."""
    context = run.part(BackupContext)
    arrived = f"{folder}/{context.name}{ARRIVED}"
    copied = read_fact(host, StorageFact, folder=arrived)
    check.compare(context.stored, copied, arrived)
    backup = made(context)
    keep = run.configuration.settings.registry_backup_keep
    gone = removable(present, keep)  # when the backup was begun
    old = removable([*(each for each in present if each.name not in gone), backup], keep)
    seen = f"{check.summary(context.stored)} were seen there, {check.size(context.sent[target])} moved"
    text = f"keep {folder}/{backup.name}: {seen}"
    if old:
        text += f"\nremove {', '.join(old)}: newer ones are kept"
    return text, scripts.seal(folder, backup, old), backup.text


def made(context: BackupContext) -> Backup:
    """Return the backup that the snapshot makes."""
    stored = context.stored
    return Backup(context.name, context.storage_id, len(stored.tags), stored.used, context.has_state)


def _keep_good(context: BackupContext, target: str, _: str) -> None:
    context.good[target] = made(context)


@operation()
def take_own() -> Generator[PyinfraCommand, None, None]:
    """Take what came to the registry host's own folder from where the next backup would go on with it."""
    yield from apply_steps(host, _take_own)


def _take_own(run: Run) -> list[AnyStep]:
    folder = run.configuration.settings.registry_backup_folder
    if not folder or not _is_sent(run, folder):
        return []
    name = run.part(BackupContext).name
    script = scripts.ONE_AT_A_TIME + scripts.attempt(scripts.arrive(folder, name, own=True))
    step = Step(f"take {folder}/{name}{ARRIVED}: it is complete", script)
    return [RemoteStep(step, partial(_keep_taken, run, folder))]


def _keep_taken(run: Run, target: str, printed: str) -> None:
    if said := printed.strip():
        del run.part(BackupContext).sent[target]
        refuse(run, target, said)


@operation()
def finish() -> Generator[PyinfraCommand, None, None]:
    """Keep the backup in the registry host's own folder, remove the snapshot, and note what is good."""
    yield from apply_steps(host, _finish)


def _finish(run: Run) -> list[AnyStep]:
    context, settings = run.part(BackupContext), run.configuration.settings
    if not host.state.is_executing:
        return []
    steps: list[AnyStep] = []
    if (folder := settings.registry_backup_folder) and _is_sent(run, folder) and context.found.shelf:
        try:
            text, script, stdin = _keep(run, folder, folder, context.found.shelf.backups)
        except Conflict as stop:  # it keeps nothing else from being noted
            run.report.problem(host.name, stop.problem, stop.remedy)
        else:
            sealing = scripts.ONE_AT_A_TIME + scripts.attempt(script)
            steps.append(RemoteStep(Step(text, sealing, stdin), partial(_keep_own, run, folder)))
    if (program := settings.registry_backup_program) in context.sent and program:
        context.good[program] = made(context)
    remove = f"rm -rf -- {snapshot_path(run)}"
    steps.append(Step("remove the snapshot: it is copied", f"{scripts.ONE_AT_A_TIME}{remove}"))
    steps.append(LocalStep("note the backup: runs say how old it is", partial(_write, run)))
    return steps


def _keep_own(run: Run, target: str, printed: str) -> None:
    if said := printed.strip():
        refuse(run, target, said)
    else:
        _keep_good(run.part(BackupContext), target, "")


def _write(run: Run) -> None:
    good = {target: vars(backup) for target, backup in run.part(BackupContext).good.items()}
    run.store.write_backups({**run.store.read_backups(), **good})


@operation()
def fail_if_not_everywhere() -> Generator[PyinfraCommand, None, None]:
    """Fail the registry host if a target has no backup."""
    if current().report.problems.get(host.name) and host.state.is_executing:
        yield from stop_host(host)
