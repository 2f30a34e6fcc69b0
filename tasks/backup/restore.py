"""Put images back: bring the backup to the registry host, compare its blobs, then put in blobs, links and tags."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import plan, restore_scripts, scripts, selection
from tasks.backup.facts import BackupHost, BackupHostFact, Shelf
from tasks.backup.layout import STAGING, USER
from tasks.backup.operations import BackupContext, read_source, wait_for_source
from tasks.backup.selection import Origin, Outcome, Selection
from tasks.problem import some_of
from tasks.registry import storage
from tasks.registry.containers import UID
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import Run
from tasks.settings.load import Settings
from tasks.storage.facts import StorageFact
from tasks.storage.stored import Stored, Tag


@dataclass
class RestoreContext:
    """What a restore knows, in the order of the operations that fill it in.

    `folder` is where the backup is on the registry host, `owner` whose the images are, `damaged` the digests of blobs
    whose data is something else.
    """

    hosts: dict[str, BackupHost] = field(default_factory=dict)
    origin: Origin | None = None
    stored: Stored = field(default_factory=lambda: Stored(0, exists=False))
    selection: Selection = field(default_factory=lambda: Selection((), (), (), ()))
    damaged: list[str] = field(default_factory=list)
    owner: str = f"{UID}:{UID}"

    def folder(self, settings: Settings) -> str:
        """Return where the backup is, or is brought to, on the registry host; `LookupError` if none was chosen."""
        if self.origin is None:
            raise LookupError("no backup was chosen")
        return f"{settings.registry_storage_path}/{STAGING}" if self.origin.host else self.origin.folder


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
    own = f"chown -R {USER}: {origin.folder}"
    steps.append(Step(f"let the user for backups read {origin.folder}: it is put back", own))
    return [
        *steps,
        *plan.admit(found.authorized, folder, f"-ro {origin.folder}", run.part(BackupContext).key),
    ]


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
        script, listed = restore_scripts.fetch(path, context.owner, address, port, wanted)
        steps.append(Step(f"bring {context.origin} to {folder}: what is not here yet", script, listed))
    script, listed = restore_scripts.check(folder, context.selection.blobs)
    text = f"compare {len(context.selection.blobs)} blobs with their digests: a disk may have changed them"
    return [*steps, RemoteStep(Step(text, script, listed), partial(_keep_damaged, context))]


def _keep_damaged(context: RestoreContext, printed: str) -> None:
    *lines, last = printed.splitlines() or [""]
    if last != "end":
        raise ValueError("the blobs were not all compared")
    context.damaged = lines


@operation()
def place() -> Generator[PyinfraCommand, None, None]:
    """Put blobs, links and tags into the images' folder."""
    yield from apply_steps(host, _place)


def _place(run: Run) -> list[AnyStep]:
    context, settings = run.part(RestoreContext), run.configuration.settings
    if not host.state.is_executing or context.origin is None:
        return []
    chosen = context.selection = selection.without(context.selection, context.stored, context.damaged)
    put = partial(
        restore_scripts.put, context.folder(settings), settings.registry_storage_path, context.owner,
        own=context.origin.host is not None,
    )  # fmt: skip
    only_older = () if settings.registry_restore_older else ("--update",)
    tags = "newer ones stay" if only_older else "newer ones are replaced too"
    return [
        _step("blobs", f"{len(chosen.blobs)}", put(chosen.blob_paths, "--size-only")),
        _step("links", f"{len(chosen.links)}", put(list(chosen.links), "--size-only")),
        _step("tags", f"{len(chosen.tags)}, {tags}", put(chosen.tag_links, *only_older)),
    ]


def _step(what: str, reason: str, script: tuple[str, str]) -> Step:
    return Step(f"put back {what}: {reason}", *script)


@operation()
def prove() -> Generator[PyinfraCommand, None, None]:
    """Look at each tag that was put back, and say what stayed as it was."""
    yield from apply_steps(host, _prove)


def _prove(run: Run) -> list[AnyStep]:
    context, settings = run.part(RestoreContext), run.configuration.settings
    if not host.state.is_executing or context.origin is None:
        return []
    live = read_fact(host, StorageFact, folder=settings.registry_storage_path)
    outcome = selection.compare(context.selection, live)
    _note(run, outcome, context.selection)
    if outcome.failed:
        raise Conflict(
            f"tags that were put back cannot be pulled: {_names(outcome.failed)}", "run make restore again"
        )
    source = run.part(BackupContext).found
    if not source.running:
        run.report.note(host.name, "no registry runs here yet: make deploy")
    if not context.origin.host:
        return []
    folder = context.folder(settings)
    return [Step(f"remove {folder}: it is put back", f"{scripts.ONE_AT_A_TIME}rm -rf -- {folder}")]


def _note(run: Run, outcome: Outcome, chosen: Selection) -> None:
    origin = run.part(RestoreContext).origin
    run.report.note(host.name, f"as in {origin}, and seen whole: {len(outcome.restored)} tags")
    if outcome.newer:
        run.report.note(
            host.name,
            f"pushed again since the backup, and stay as they are ({len(outcome.newer)}): {_names(outcome.newer)}; "
            "OLDER=yes puts back those of the backup",
        )
    if chosen.broken:
        run.report.problem(
            host.name,
            f"damaged in the backup, and left out ({len(chosen.broken)}): {_names(chosen.broken)}",
            "take them from another backup (FROM=NAME)",
        )


def _names(tags: Sequence[Tag]) -> str:
    return some_of([f"{tag.repository}:{tag.name}" for tag in tags], 10)


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
    return [*plan.admit(found.authorized, folder, f"-wo {folder}", run.part(BackupContext).key)]
