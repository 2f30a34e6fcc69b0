"""Make a backup: prepare the hosts, take a snapshot, send it to each target, look at what came, and keep it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import check, plan, scripts, state_archive
from tasks.backup.facts import BackupHost, BackupHostFact, SourceFact, SourceHost
from tasks.backup.generations import Backup, surplus, time_of
from tasks.backup.layout import LOCK, PARTIAL, SNAPSHOT
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, LocalStep, RemoteStep, apply_steps, read_fact, stop_host
from tasks.run.context import ROOT, Run, current
from tasks.storage.facts import StorageFact
from tasks.storage.stored import Stored

LOCAL_PROGRAMS = ["rsync", "flock"]


@dataclass
class BackupContext:
    """What a backup knows, in the order of the operations that fill it in.

    `key` is the public key of the registry host's; `hosts` are those that are ready; `name` is when the snapshot was
    begun and `stored` what is in it. `sent` has the targets that got all of it, with the bytes that moved; `good` those
    whose backup was looked at and kept.
    """

    source: SourceHost | None = None
    key: str = ""
    hosts: dict[str, BackupHost] = field(default_factory=dict)
    name: str = ""
    stored: Stored = field(default_factory=lambda: Stored(0, exists=False))
    has_state: bool = False
    sent: dict[str, int] = field(default_factory=dict)
    good: dict[str, Backup] = field(default_factory=dict)

    @property
    def found(self) -> SourceHost:
        """The registry host; `LookupError` if it was not read."""
        if self.source is None:
            raise LookupError("the registry host was not read")
        return self.source

    @property
    def storage_id(self) -> str:
        """The id in the mark of the images' folder."""
        return (self.found.record and self.found.record.id) or self.found.place.mark or ""

    def keep_key(self, printed: str) -> None:
        """Keep the public key that was made; `ValueError` if it is none."""
        if not printed.startswith("ssh-ed25519 "):
            raise ValueError("ssh-keygen printed no key")
        self.key = printed.strip()


def snapshot_path(run: Run) -> str:
    """Return where the snapshot is on the registry host."""
    return f"{run.configuration.settings.registry_storage_path}/{SNAPSHOT}"


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
    """Wait until the registry host was looked at: a plan asks all hosts at once."""
    registry_host = host.inventory.get_host(run.configuration.registry_host)
    if not host.state.is_executing and registry_host in host.state.active_hosts:
        run.settled[registry_host.name].wait()


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
    if (folder := settings.registry_backup_folder) and found.shelf:
        plan.check_shelf(folder, found.shelf, context.storage_id, used=folder in run.store.read_backups())
    steps: list[AnyStep] = [*plan.install(found.missing, run.machines[host.name].family)]
    context.key = found.key or ""
    if run.configuration.backup_hosts and (step := plan.make_key(found)):
        steps.append(RemoteStep(step, context.keep_key))
    return steps


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
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    plan.endpoint(found)
    plan.check_shelf(folder, found.shelf, context.storage_id, used=host.name in run.store.read_backups())
    context.hosts[host.name] = found
    return [
        *plan.install(found.missing, run.machines[host.name].family),
        *plan.prepare_host(found, folder, context.key),
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
    encrypted = state_archive.encrypt(run.store.folder, run.inventory, settings.registry_backup_recipients)
    encoded = b64encode(encrypted).decode()
    context.has_state = True
    text = f"add {run.store.folder} and the inventory: encrypted for {settings.registry_backup_recipients}"
    return [*steps, Step(text, scripts.add_state(snapshot_path(run), encoded), encoded)]


def _keep_name(context: BackupContext, printed: str) -> None:
    time_of(printed.strip())
    context.name = printed.strip()


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
    steps: list[AnyStep] = []
    endpoints = [(*plan.endpoint(found), found) for found in context.hosts.values()]
    if endpoints:
        steps.append(plan.write_known_hosts(plan.known_hosts(endpoints)))
    for (address, port, found), name in zip(endpoints, context.hosts, strict=True):
        last = found.shelf.latest.name if found.shelf.latest else None
        steps.append(_sending(run, name, scripts.send(snapshot, address, port, last)))
    if (folder := settings.registry_backup_folder) and context.found.shelf:
        last = context.found.shelf.latest.name if context.found.shelf.latest else None
        steps.append(_sending(run, folder, scripts.copy(snapshot, folder, last)))
    if program := settings.registry_backup_program:
        steps.append(_sending(run, program, scripts.run_program(program, snapshot)))
    return steps


def _sending(run: Run, target: str, script: str) -> RemoteStep:
    return RemoteStep(Step(f"back up to {target}: what is new", script), partial(_keep_sent, run, target))


def _keep_sent(run: Run, target: str, printed: str) -> None:
    """Note what a target got. One that got nothing keeps no other from its backup."""
    if printed.strip().isdigit():
        run.part(BackupContext).sent[target] = int(printed)
        return
    said = printed.strip().removeprefix("failed: ") or "it printed no error"
    run.report.problem(
        run.configuration.registry_host,
        f"could not back up to {target}: {said}",
        "fix that and run make backup again",
    )


@operation()
def keep_on_host() -> Generator[PyinfraCommand, None, None]:
    """Look at what came to a host, and make it a backup."""
    yield from apply_steps(host, _keep_on_host)


def _keep_on_host(run: Run) -> list[AnyStep]:
    context = run.part(BackupContext)
    if not host.state.is_executing or host.name not in context.sent:
        return []
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    return _keep(run, host.name, folder, [each.name for each in context.hosts[host.name].shelf.backups])


def _keep(run: Run, target: str, folder: str, present: list[str]) -> list[AnyStep]:
    """Return the step that makes a backup of what came to a folder; `Conflict` if it is not what was sent."""
    context = run.part(BackupContext)
    copied = read_fact(host, StorageFact, folder=f"{folder}/{PARTIAL}")
    check.compare(context.stored, copied, f"{folder}/{PARTIAL}")
    backup = made(context)
    old = surplus([*present, backup.name], run.configuration.settings.registry_backup_keep)
    seen = f"{check.summary(context.stored)} were seen there, {check.size(context.sent[target])} moved"
    text = f"keep {folder}/{backup.name}: {seen}"
    if old:
        text += f"\nremove {', '.join(old)}: newer ones are kept"
    return [
        RemoteStep(
            Step(text, scripts.seal(folder, backup, old), backup.text), partial(_keep_good, context, target)
        )
    ]


def made(context: BackupContext) -> Backup:
    """Return the backup that the snapshot makes."""
    stored = context.stored
    return Backup(context.name, context.storage_id, len(stored.tags), stored.used, context.has_state)


def _keep_good(context: BackupContext, target: str, _: str) -> None:
    context.good[target] = made(context)


@operation()
def finish() -> Generator[PyinfraCommand, None, None]:
    """Keep the backup in the registry host's own folder, remove the snapshot, and note what is good."""
    yield from apply_steps(host, _finish)


def _finish(run: Run) -> list[AnyStep]:
    context, settings = run.part(BackupContext), run.configuration.settings
    if not host.state.is_executing:
        return []
    steps: list[AnyStep] = []
    if (folder := settings.registry_backup_folder) in context.sent and folder and context.found.shelf:
        steps += _keep(run, folder, folder, [each.name for each in context.found.shelf.backups])
    if (program := settings.registry_backup_program) in context.sent and program:
        context.good[program] = made(context)
    remove = f"rm -rf -- {snapshot_path(run)}"
    steps.append(Step("remove the snapshot: it is copied", f"{scripts.ONE_AT_A_TIME}{remove}"))
    steps.append(LocalStep("note the backup: runs say how old it is", partial(_write, run)))
    return steps


def _write(run: Run) -> None:
    good = {target: vars(backup) for target, backup in run.part(BackupContext).good.items()}
    run.store.write_backups({**run.store.read_backups(), **good})


@operation()
def fail_if_not_everywhere() -> Generator[PyinfraCommand, None, None]:
    """Fail the registry host if a target has no backup."""
    if current().report.problems.get(host.name) and host.state.is_executing:
        yield from stop_host(host)
