"""Put blobs, links and tags of a backup that was brought into the images' folder, and look at what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Sequence
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.backup import restore_scripts, scripts, selection
from tasks.backup.context import BackupContext, RestoreContext
from tasks.backup.generations import time_of
from tasks.backup.selection import Outcome, Selection
from tasks.problem import some_of
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, apply_steps, read_fact
from tasks.run.context import Run
from tasks.storage.facts import StorageFact
from tasks.storage.stored import Tag, blob_path


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
    moving = selection.without_doubtful(chosen, context.live, _begun(context)) if only_older else chosen
    rotten = [blob_path(each) for each in context.rotten if each in chosen.blobs]
    repair = _step("damaged blobs of the registry", f"{len(rotten)}", put(rotten, "--ignore-times"))
    return [
        *([repair] if rotten else []),
        _step("blobs", f"{len(chosen.blobs)}", put(chosen.blob_paths, "--size-only")),
        _step("links", f"{len(chosen.links)}", put(list(chosen.links), "--size-only")),
        _step("tags", f"{len(chosen.tags)}, {tags}", put(moving.tag_links, *only_older)),
    ]


def _begun(context: RestoreContext) -> dt.datetime:
    """Return when the chosen backup was begun; now, if its folder's name does not say."""
    try:
        return time_of(context.origin.folder.rpartition("/")[2] if context.origin else "")
    except ValueError:
        return dt.datetime.fromtimestamp(context.live.read_at, dt.UTC)


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
