"""Which backup is put back, and what of it: pure functions from what was read to lists of files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.backup.facts import Shelf
from tasks.backup.generations import CLOCK_TOLERANCE
from tasks.problem import some_of
from tasks.remote.steps import Conflict
from tasks.storage.faults import faults
from tasks.storage.graph import Graph
from tasks.storage.stored import Stored, Tag, blob_path


@dataclass(frozen=True)
class Origin:
    """Where the images come from: a folder, on a host in `backup_hosts`, or on the registry host if that is None."""

    host: str | None
    folder: str

    def __str__(self) -> str:
        return f"{self.folder} on {self.host}" if self.host else self.folder


@dataclass(frozen=True)
class Selection:
    """What is put back. Paths are below `docker/registry/v2`; what points comes last.

    `tags` pull from the backup, `broken` do not, and stay out.
    """

    tags: tuple[Tag, ...]
    broken: tuple[Tag, ...]
    blobs: tuple[str, ...]
    links: tuple[str, ...]

    @property
    def tag_links(self) -> list[str]:
        """The paths of the tags' links: the list of what a tag had, before what it has."""
        folder = "repositories/{0.repository}/_manifests/tags/{0.name}"
        index = [f"{folder.format(tag)}/index/{_path(tag.digest)}/link" for tag in self.tags if tag.digest]
        return index + [f"{folder.format(tag)}/current/link" for tag in self.tags]

    @property
    def blob_paths(self) -> list[str]:
        """The paths of the blobs."""
        return [blob_path(digest) for digest in self.blobs]


def choose(wanted: str, shelves: Mapping[str | None, tuple[str, Shelf]]) -> Origin:
    """Return the backup that is meant by a path, a name, `latest`, or one of these of a host (`pi:latest`).

    `shelves` are the folders with backups by host. `Conflict` if there is no such backup, with those that there are.
    """
    if wanted.startswith("/"):
        return Origin(None, wanted)
    named, _, name = wanted.rpartition(":")
    found = [
        (backup.name, host or "", Origin(host, f"{folder}/{backup.name}"))
        for host, (folder, shelf) in shelves.items()
        for backup in shelf.backups
        if named in {"", host}
    ]
    fitting = [each for each in found if name in {"latest", each[0]}]
    if fitting:
        return max(fitting)[2]
    there_are = some_of(
        [f"{host}{':' if host else ''}{name}" for name, host, _ in sorted(found, reverse=True)], 20
    )
    raise Conflict(
        f"there is no backup {wanted}",
        f"there are {there_are}" if found else "name a folder of the registry host that has one: FROM=/PATH",
    )


def select(stored: Stored, repository: str | None) -> Selection:
    """Return what is put back of a backup: all, or one repository. `Conflict` if there is nothing."""
    chosen = [each for each in stored.repositories.values() if repository in {None, each.name}]
    if not chosen:
        there = some_of(sorted(stored.repositories), 20)
        raise Conflict(
            f"there is no repository {repository} in the backup"
            if repository
            else "there are no images in the backup",
            f"there are {there}" if repository and there else "choose another backup",
        )
    broken = faults(stored)
    tags = [tag for each in chosen for tag in each.tags.values()]
    names = {digest for each in chosen for digest in (*each.manifests, *each.layers)}
    links = [
        f"repositories/{each.name}/{kind}/{_path(digest)}/link"
        for each in chosen
        for kind, digests in (("_layers", each.layers), ("_manifests/revisions", each.manifests))
        for digest in digests
        if digest not in each.half_written
    ]
    blobs = {stored.aliases.get(digest, digest) for digest in names}
    return Selection(
        tags=tuple(tag for tag in tags if tag not in broken),
        broken=tuple(tag for tag in tags if tag in broken),
        blobs=tuple(sorted(blobs & stored.blobs.keys())),
        links=tuple(links),
    )


def without(selection: Selection, stored: Stored, damaged: Iterable[str]) -> Selection:
    """Return the selection without blobs whose data is not what its digest says, and without the tags that need one."""
    bad = set(damaged)
    if not bad:
        return selection
    graph = Graph(stored)
    hit = [tag for tag in selection.tags if graph.needs(tag) & bad]
    return Selection(
        tags=tuple(tag for tag in selection.tags if tag not in hit),
        broken=(*selection.broken, *hit),
        blobs=tuple(digest for digest in selection.blobs if digest not in bad),
        links=selection.links,
    )


def present(selection: Selection, stored: Stored, live: Stored) -> list[str]:
    """Return the blobs that the registry has already, with as many bytes."""
    return [each for each in selection.blobs if _size(live, each) == _size(stored, each)]


def needed(digests: Iterable[str], stored: Stored, live: Stored) -> int:
    """Return the bytes of those blobs of a backup that the registry has not."""
    return stored.size(each for each in digests if _size(live, each) != _size(stored, each))


def without_doubtful(selection: Selection, live: Stored, begun: dt.datetime) -> Selection:
    """Return the selection without tags that were moved since, and that seem to be from after their backup.

    A clock was wrong: their times do not say that the registry's are older. `begun` is when the backup was.
    """
    limit = begun.timestamp() + CLOCK_TOLERANCE.total_seconds()
    now = {(tag.repository, tag.name): tag.digest for tag in live.tags}
    moved = [tag for tag in selection.tags if now.get((tag.repository, tag.name)) not in {None, tag.digest}]
    doubtful = {(tag.repository, tag.name) for tag in moved if tag.pushed > limit}
    tags = (tag for tag in selection.tags if (tag.repository, tag.name) not in doubtful)
    return replace(selection, tags=tuple(tags))


def _size(stored: Stored, digest: str) -> int | None:
    blob = stored.blobs.get(digest)
    return blob.size if blob else None


@dataclass(frozen=True)
class Outcome:
    """What came of putting tags back: as in the backup, newer and left alone, or not to be pulled."""

    restored: tuple[Tag, ...]
    newer: tuple[Tag, ...]
    failed: tuple[Tag, ...]


def compare(selection: Selection, live: Stored) -> Outcome:
    """Return what the registry's folder has now of what was put back."""
    broken = {(tag.repository, tag.name) for tag in faults(live)}
    now = {(tag.repository, tag.name): tag.digest for tag in live.tags}
    restored, newer, failed = [], [], []
    for tag in selection.tags:
        key = (tag.repository, tag.name)
        if now.get(key) is None or key in broken:
            failed.append(tag)
        elif now[key] == tag.digest:
            restored.append(tag)
        else:
            newer.append(tag)
    return Outcome(tuple(restored), tuple(newer), tuple(failed))


def sums(digests: Sequence[str], algorithm: str) -> str:
    """Return the list that `sha256sum -c` (or another) reads: each blob's digest and path."""
    chosen = [each for each in digests if each.startswith(f"{algorithm}:")]
    return "".join(f"{each.partition(':')[2]}  {blob_path(each)}\n" for each in chosen)


def _path(digest: str) -> str:
    return digest.replace(":", "/")
