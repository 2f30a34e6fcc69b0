"""Begin a backup: prepare the hosts, take a snapshot, and send it to each target. What came is kept in `keep.py`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import check, plan, scripts, space, state_archive
from tasks.backup.context import BackupContext, backup_folder, now, refuse, snapshot_path
from tasks.backup.facts import BackupHostFact, Shelf, SourceFact, SourceHost
from tasks.backup.generations import removable
from tasks.backup.layout import LOCK
from tasks.backup.state_archive import StateNotEncrypted
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import ROOT, Run
from tasks.storage.facts import StorageFact

LOCAL_PROGRAMS = ["rsync", "flock"]


def read_source(run: Run) -> SourceHost:
    """Read what the registry host has."""
    settings = run.configuration.settings
    programs = [*LOCAL_PROGRAMS, *(["ssh"] if run.configuration.backup_hosts else [])]
    return read_fact(
        host, SourceFact, path=settings.registry_storage_path, folder=settings.registry_backup_folder,
        program=settings.registry_backup_program, programs=programs,
    )  # fmt: skip


def is_postponed(run: Run) -> bool:
    """Return whether it is too early to look: what keeps a timer's run from a backup keeps it from nothing else."""
    return run.by_timer and not host.state.is_executing


def wait_for_source(run: Run) -> None:
    """Wait until the registry host was looked at."""
    wait_for(run, [run.configuration.registry_host])


def wait_for(run: Run, names: Iterable[str]) -> None:
    """Wait until these hosts were looked at: a plan asks all hosts at once."""
    for each in map(host.inventory.get_host, names):
        if not host.state.is_executing and each in host.state.active_hosts:
            run.settled[each.name].wait()


@operation()
def prepare_source() -> Generator[PyinfraCommand, None, None]:
    """Look at the registry host, and give it the programs and the key that a backup needs."""
    yield from apply_steps(host, _prepare_source)


def _prepare_source(run: Run) -> list[AnyStep]:
    if is_postponed(run):
        return []
    context, settings = run.part(BackupContext), run.configuration.settings
    context.source = found = read_source(run)
    plan.check_source(found, settings, "make deploy")
    steps: list[AnyStep] = [*plan.install(found.missing, run.machines[host.name].family)]
    context.key = found.key or ""
    if run.configuration.backup_hosts and (step := plan.make_key(found)):
        steps.append(RemoteStep(step, context.keep_key))
    folder, program = settings.registry_backup_folder, settings.registry_backup_program
    for target in filter(None, (folder, program)):
        with _one_target(run, target):
            plan.check_own(found, target, settings)
            if target == folder and found.shelf:
                check_shelf(run, target, folder, found.shelf)
                steps.append(begin(run, target, folder, found.shelf, None))
    return steps


@contextmanager
def _one_target(run: Run, target: str) -> Generator[None, None, None]:
    """Keep what is wrong with a target of the registry host's own from keeping the others from their backup."""
    try:
        yield
    except Conflict as stop:
        run.part(BackupContext).refused.add(target)
        run.report.problem(host.name, stop.problem, stop.remedy)


def check_shelf(run: Run, target: str, folder: str, shelf: Shelf) -> None:
    """Raise `Conflict` if a target's folder is not the one with this registry's backups."""
    used = target in run.store.read_backups()
    plan.check_shelf(folder, shelf, run.part(BackupContext).storage_id, now(), used=used)


def begin(run: Run, target: str, folder: str, shelf: Shelf, key: str | None) -> RemoteStep:
    """Return the step that begins a backup in a folder, with what is in the last one."""
    last = shelf.latest.name if shelf.latest else None
    old = removable(shelf.backups, run.configuration.settings.registry_backup_keep)
    text = f"begin a backup in {folder}: {f'what {last} has is linked' if last else 'there is none yet'}"
    if old:
        text += f"\nremove {', '.join(old)}: registry_backup_keep keeps fewer"
    script = scripts.attempt(scripts.begin(folder, last, old, key))
    lock = scripts.ONE_AT_A_TIME if key is None else ""
    return RemoteStep(Step(text, lock + script, path=folder), partial(_keep_space, run, target, folder))


def _keep_space(run: Run, target: str, folder: str, printed: str) -> None:
    try:
        found = space.read_space(printed)
    except ValueError as error:
        refuse(run, target, str(error))
        return
    run.part(BackupContext).spaces[target] = found
    if not found.links and found.owners:
        run.report.note(
            run.configuration.registry_host,
            f"{folder} is on a file system without hard links ({found.system}): each backup takes all its space",
        )


@operation()
def prepare_host() -> Generator[PyinfraCommand, None, None]:
    """Let the registry host write to the folder for backups on a host that keeps them."""
    yield from apply_steps(host, _prepare_host)


def _prepare_host(run: Run) -> list[AnyStep]:
    if is_postponed(run):
        return []
    context = run.part(BackupContext)
    wait_for_source(run)
    if context.source is None:
        return []  # the registry host is not ready, and has said why
    folder = backup_folder(run, host.name)
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    plan.endpoint(found)
    check_shelf(run, host.name, folder, found.shelf)
    context.hosts[host.name] = found
    return [
        *plan.install(found.missing, run.machines[host.name].family),
        *plan.prepare_host(found, folder, context.key),
        begin(run, host.name, folder, found.shelf, context.key),
    ]


@operation()
def take_snapshot() -> Generator[PyinfraCommand, None, None]:
    """Copy the images' links, and link to their blobs, on the registry host."""
    yield from apply_steps(host, _take_snapshot)


def _take_snapshot(run: Run) -> list[AnyStep]:
    if is_postponed(run):
        return []
    context, settings = run.part(BackupContext), run.configuration.settings
    arguments = f"{settings.registry_storage_path} {snapshot_path(run)} {LOCK}"
    take = f"{scripts.MAKE_KEYS_FOLDER}set -- {arguments}\n{(ROOT / 'files/snapshot.sh').read_text()}"
    step = Step("take a snapshot of the images: pushes go on while it is copied", take)
    steps: list[AnyStep] = [RemoteStep(step, partial(_keep_name, context))]
    if settings.registry_backup_recipients is None:
        run.report.note(
            host.name,
            "the state (CA, passwords) is not in the backup: set registry_backup_recipients, or keep a copy of "
            f"{run.store.folder} yourself (docs/lost-or-stolen.md)",
        )
        return steps
    try:
        encrypted = state_archive.encrypt(
            run.store.folder, run.inventory, settings.registry_backup_recipients
        )
    except StateNotEncrypted as stop:  # the images are backed up all the same
        run.report.problem(host.name, stop.problem, stop.remedy)
        return steps
    encoded = b64encode(encrypted).decode()
    context.has_state = True
    text = f"add {run.store.folder} and the inventory: encrypted for {settings.registry_backup_recipients}"
    return [*steps, Step(text, scripts.add_state(snapshot_path(run), encoded), encoded)]


def _keep_name(context: BackupContext, printed: str) -> None:
    context.name = plan.check_name(printed.strip(), now())


@operation()
def send() -> Generator[PyinfraCommand, None, None]:
    """Send the snapshot to each target."""
    yield from apply_steps(host, _send)


def _send(run: Run) -> list[AnyStep]:
    if is_postponed(run):
        return []
    context, settings = run.part(BackupContext), run.configuration.settings
    snapshot = snapshot_path(run)
    if host.state.is_executing:
        context.stored = read_fact(host, StorageFact, folder=snapshot)
        for line in check.describe_faults(context.stored):
            run.report.note(host.name, line)
    targets: dict[str, Callable[[], str]] = {}
    endpoints = {name: (*plan.endpoint(found), found) for name, found in context.hosts.items()}
    for name, (address, port, _) in endpoints.items():
        targets[name] = partial(scripts.send, snapshot, address, port)
    if folder := settings.registry_backup_folder:
        targets[folder] = partial(scripts.copy, snapshot, folder)
    if program := settings.registry_backup_program:
        targets[program] = partial(scripts.run_program, program, snapshot)
    steps: list[AnyStep] = []
    if endpoints:
        steps.append(plan.write_known_hosts(plan.known_hosts(list(endpoints.values()))))
    for target, script in targets.items():
        if _is_fit(run, target):
            text = f"back up to {target}: what is new"
            steps.append(RemoteStep(Step(text, script()), partial(_keep_sent, run, target)))
    return steps


def _is_fit(run: Run, target: str) -> bool:
    """Return whether a target can take the backup; if not, say why."""
    context, settings = run.part(BackupContext), run.configuration.settings
    if target in context.refused:
        return False
    if target == settings.registry_backup_program or not host.state.is_executing:
        return True
    if found := context.spaces.get(target):
        folder = target if target not in context.hosts else backup_folder(run, target)
        with _one_target(run, target):
            space.check_space(folder, found, context.stored.used)
            return True
    return False


def _keep_sent(run: Run, target: str, printed: str) -> None:
    """Note what a target got. One that got nothing keeps no other from its backup."""
    if printed.strip().isdigit():
        run.part(BackupContext).sent[target] = int(printed)
    else:
        refuse(run, target, printed.strip().rpartition("\n")[2])
