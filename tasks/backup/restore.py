"""Choose a backup, bring it to the registry host, and compare its blobs. `put_back.py` does the rest."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import plan, restore_scripts, scripts, selection
from tasks.backup.check import size
from tasks.backup.context import BackupContext, RestoreContext
from tasks.backup.facts import BackupHostFact, Shelf
from tasks.backup.layout import PARTIAL, USER
from tasks.backup.operations import read_source, wait_for_source
from tasks.backup.selection import Origin
from tasks.registry import storage
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import Run
from tasks.storage.facts import StorageFact


@operation()
def prepare() -> Generator[PyinfraCommand, None, None]:
    """Look at the registry host, and give it the programs and the key that a restore needs."""
    yield from apply_steps(host, _prepare)


def _prepare(run: Run) -> list[AnyStep]:
    context, settings = run.part(BackupContext), run.configuration.settings
    context.source = found = read_source(run)
    path = settings.registry_storage_path
    # What the state knows is of the registry host that is lost: what this one knows counts.
    storage.locate(path, {path: found.place}, [found.record] if found.record else [])
    if found.place.repositories is not None and found.owner:
        run.part(RestoreContext).owner = found.owner
    steps: list[AnyStep] = [*plan.install(found.missing, run.machines[host.name].family)]
    context.key = found.key or ""
    if _is_elsewhere(run) and (step := plan.make_key(found)):
        steps.append(RemoteStep(step, context.keep_key))
    return steps


def _is_elsewhere(run: Run) -> bool:
    wanted = run.configuration.settings.registry_restore or ""
    return not wanted.startswith("/") and bool(run.configuration.backup_hosts)


@operation()
def look() -> Generator[PyinfraCommand, None, None]:
    """Look which backups a host has."""
    yield from apply_steps(host, _look)


def _look(run: Run) -> list[AnyStep]:
    wait_for_source(run)
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    run.part(RestoreContext).hosts[host.name] = found
    return [*plan.install(found.missing, run.machines[host.name].family)]


@operation()
def choose() -> Generator[PyinfraCommand, None, None]:
    """Choose the backup that was asked for."""
    yield from apply_steps(host, _choose)


def _choose(run: Run) -> list[AnyStep]:
    context, settings = run.part(RestoreContext), run.configuration.settings
    if not host.state.is_executing:
        return []
    own, folder = run.part(BackupContext).found.shelf, settings.registry_backup_folder
    shelves: dict[str | None, tuple[str, Shelf]] = {None: (folder, own)} if folder and own else {}
    for name, found in context.hosts.items():
        shelves[name] = (run.configuration.hosts[name].registry_backup_host_folder, found.shelf)
    context.origin = selection.choose(settings.registry_restore or "", shelves)
    if context.origin.host is None:
        _read(run, context.origin)
    return []


def _read(run: Run, origin: Origin) -> None:
    """Read what the chosen backup has, and note which of its tags it cannot give back."""
    context = run.part(RestoreContext)
    context.stored = read_fact(host, StorageFact, folder=origin.folder)
    if not context.stored.exists:
        raise Conflict(
            f"{origin} has no images", "name the folder that has docker/registry/v2 in it: FROM=/PATH"
        )
    if context.stored.problems:
        raise Conflict(f"{origin} could not be read: {context.stored.problems[0]}", "fix that and run again")
    context.selection = selection.select(
        context.stored, run.configuration.settings.registry_restore_repository
    )


@operation()
def offer() -> Generator[PyinfraCommand, None, None]:
    """Read the chosen backup, and let the registry host read it and nothing else."""
    yield from apply_steps(host, _offer)


def _offer(run: Run) -> list[AnyStep]:
    origin = run.part(RestoreContext).origin
    if not origin or origin.host != host.name:
        return []
    _read(run, origin)
    found = run.part(RestoreContext).hosts[host.name]
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    steps = [] if found.has_user else [Step("add the user for backups: it is missing", scripts.MAKE_USER)]
    own = f'chown -R "root:$(id -g {USER})" {origin.folder} && chmod -R u=rwX,g=rX,o= {origin.folder}'
    own += f' && chown "root:$(id -g {USER})" {folder} && chmod 0750 {folder}'
    steps.append(Step(f"let the user for backups read {origin.folder}: it is put back", own))
    return [
        *steps,
        *plan.admit(found.authorized, folder, f"-ro {origin.folder}", run.part(BackupContext).key),
    ]


@operation()
def inspect() -> Generator[PyinfraCommand, None, None]:
    """Look at the room for the backup, and compare the blobs that are there already with their digests."""
    yield from apply_steps(host, _inspect)


def _inspect(run: Run) -> list[AnyStep]:
    context, settings = run.part(RestoreContext), run.configuration.settings
    if not host.state.is_executing or context.origin is None:
        return []
    path, source = settings.registry_storage_path, run.part(BackupContext).found
    context.live = read_fact(host, StorageFact, folder=path)
    everything = context.origin.host is not None and settings.registry_restore_repository is None
    blobs = context.stored.blobs if everything else context.selection.blobs
    needed = selection.needed(blobs, context.stored, context.live)
    if needed > source.free + (source.brought if context.origin.host else 0):
        raise Conflict(
            f"{path} has {size(source.free)} free, and {context.origin} needs {size(needed)} more",
            "make room there, put one repository back (REPOSITORY=NAME), or set registry_storage_path to a folder on "
            "a larger disk, and run again",
        )
    if not (there := selection.present(context.selection, context.stored, context.live)):
        return []
    text = f"compare {len(there)} blobs of the registry with their digests: a disk may have changed them"
    script, listed = restore_scripts.check(path, there)
    return [RemoteStep(Step(text, script, listed), partial(_keep_rotten, context))]


def _keep_rotten(context: RestoreContext, printed: str) -> None:
    context.rotten = _read_sums(printed)


@operation()
def bring() -> Generator[PyinfraCommand, None, None]:
    """Bring the backup to the registry host if it is elsewhere, and compare each blob with its digest."""
    yield from apply_steps(host, _bring)


def _bring(run: Run) -> list[AnyStep]:
    context, settings = run.part(RestoreContext), run.configuration.settings
    if not host.state.is_executing:
        return [Step(f"put back {settings.registry_restore}: it was asked for", "false")]
    if context.origin is None:
        return []
    path, folder, steps = settings.registry_storage_path, context.folder(settings), list[AnyStep]()
    if context.origin.host:
        found = context.hosts[context.origin.host]
        address, port = plan.endpoint(found)
        steps.append(plan.write_known_hosts(plan.known_hosts([(address, port, found)])))
        wanted = context.selection.blobs if settings.registry_restore_repository else None
        script, listed = restore_scripts.fetch(path, context.owner, address, port, wanted, context.rotten)
        steps.append(Step(f"bring {context.origin} to {folder}: what is not here yet", script, listed))
    script, listed = restore_scripts.check(folder, context.selection.blobs)
    text = f"compare {len(context.selection.blobs)} blobs with their digests: a disk may have changed them"
    return [*steps, RemoteStep(Step(text, script, listed), partial(_keep_damaged, context))]


def _keep_damaged(context: RestoreContext, printed: str) -> None:
    context.damaged = _read_sums(printed)


def _read_sums(printed: str) -> list[str]:
    *lines, last = printed.splitlines() or [""]
    if last != "end":
        raise ValueError("the blobs were not all compared")
    return lines


@operation()
def close() -> Generator[PyinfraCommand, None, None]:
    """Let the registry host write backups again, and no longer read one."""
    yield from apply_steps(host, _close)


def _close(run: Run) -> list[AnyStep]:
    origin = run.part(RestoreContext).origin
    if not origin or origin.host != host.name:
        return []
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    return [*plan.admit(found.authorized, folder, f"-wo {folder}/{PARTIAL}", run.part(BackupContext).key)]
