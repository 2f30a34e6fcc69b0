"""What a collection does next: condemn what nothing needs, move it into the trash, give it back, or delete it.

A run condemns, and a later one, after the grace, sweeps:

1. whoever pushes is told that what is condemned is absent, so that clients push it again, which renews its links;
2. what is stored is read again. What is still unneeded, and has no new link, is moved into a trash on the same disk;
3. all is read again. What is needed or linked after all is given back; links to the rest follow it into the trash;
4. a trash is deleted after some days.

What says that a blob is used again is the time of a link to it: its data is not written anew if it is there
(distribution, registry/storage/blobwriter.go, moveBlob). A repository in which something was pushed a moment ago is
left alone: a client may have seen there, long before, what it is about to name. So is one with a tag that does not
pull: what that needs may not be known. Nothing here depends on what an earlier call did, so that a run which was
killed at any point is finished by the next one. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tasks.storage.faults import faults
from tasks.storage.graph import Graph, Root
from tasks.storage.stored import Repository, Stored

UNDER_WAY = 15 * 60
"""Seconds. A push may pause for so long between two of its steps."""


@dataclass(frozen=True)
class Times:
    """In seconds: how long something must be unneeded, how long the trash is kept, and how long a push may pause."""

    grace: int
    trash: int
    under_way: int = UNDER_WAY


@dataclass(frozen=True)
class Trash:
    """What earlier runs left.

    `condemned` has a time by digest. `passes` has the paths of files by the pass (a time) that moved them; they are as
    below the registry's folder. `sizes` has the bytes of each pass.
    """

    condemned: Mapping[str, int] = field(default_factory=dict)
    passes: Mapping[int, frozenset[str]] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to do. `ready` are the condemned digests that may be moved, `give_back` are passes and paths.

    While there is something to give back, nothing is unlinked or deleted: what it names may have to follow it.
    """

    condemn: frozenset[str] = frozenset()
    spare: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    give_back: tuple[tuple[int, str], ...] = ()
    unlink: tuple[str, ...] = ()
    delete: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Link:
    path: str
    repository: Repository
    name: str
    digest: str
    time: int


def plan(stored: Stored, kept: frozenset[Root], trash: Trash, times: Times) -> Plan:
    """Return what to do, given what is stored and the manifests that are `kept` without a tag.

    If anything could not be read, nothing.
    """
    if stored.problems or not stored.exists:
        return Plan()
    old = stored.read_at - max(times.grace, times.under_way)
    graph = Graph(stored, kept | _recent(stored, old))
    needed = frozenset[str]().union(
        *map(graph.needs, stored.tags), *(graph.closure(name, [digest]) for name, digest in graph.kept)
    )
    alone = _left_alone(stored, stored.read_at - times.under_way)
    links = list(_links(stored))
    in_hand = {
        each.digest
        for each in links
        if each.repository.name in alone or each.time > old or each.name in each.repository.half_written
    }
    free = {digest for digest in graph.unreferenced - in_hand if stored.blobs[digest].written <= old}
    spare = {
        digest
        for digest, time in trash.condemned.items()
        if digest not in free or graph.linked.get(digest, 0) >= time
    }
    condemn = free - (trash.condemned.keys() - spare)
    ready = {
        digest
        for digest, time in trash.condemned.items()
        if digest not in spare and time <= stored.read_at - times.grace
    }
    give_back = tuple(_to_give_back(stored, trash, needed, graph.linked, {each.path for each in links}))
    rest = () if give_back else tuple(each for each in links if each.digest not in needed | in_hand)
    return Plan(
        condemn=frozenset(condemn),
        spare=frozenset(spare),
        ready=frozenset(ready if times.grace else ready | condemn),
        give_back=give_back,
        unlink=tuple(
            each.path for each in rest if each.digest not in stored.blobs and each.name not in needed
        ),
        delete=() if give_back else tuple(t for t in trash.passes if t <= stored.read_at - times.trash),
    )


def _recent(stored: Stored, old: int) -> frozenset[Root]:
    """Return the manifests that were pushed since a time, or are being written."""
    return frozenset(
        (repository.name, digest)
        for repository in stored.repositories.values()
        for digest, pushed in repository.manifests.items()
        if pushed > old or digest in repository.half_written
    )


def _left_alone(stored: Stored, since: int) -> frozenset[str]:
    """Return the repositories in which something was pushed since a time, is being uploaded, or does not pull."""
    uploading = {upload.repository for upload in stored.uploads if upload.changed > since}
    return frozenset(uploading | {tag.repository for tag in faults(stored)}) | {
        repository.name
        for repository in stored.repositories.values()
        for time in (*repository.layers.values(), *repository.manifests.values())
        if time > since
    }


def _links(stored: Stored) -> Iterator[_Link]:
    """Return all links but those that make a tag what it is."""
    for repository in stored.repositories.values():
        folder = f"repositories/{repository.name}"
        kinds = [
            (f"{folder}/_layers", repository.layers),
            (f"{folder}/_manifests/revisions", repository.manifests),
            *((f"{folder}/_manifests/tags/{tag.name}/index", tag.former) for tag in repository.tags.values()),
        ]
        for place, found in kinds:
            for name, time in found.items():
                digest = stored.aliases.get(name, name)
                yield _Link(f"{place}/{name.replace(':', '/')}/link", repository, name, digest, time)


def _to_give_back(
    stored: Stored, trash: Trash, needed: frozenset[str], linked: Mapping[str, int], links: set[str]
) -> Iterator[tuple[int, str]]:
    """Return what is missing and is needed, or was linked since it was moved; newest pass first, each path once."""
    seen: set[str] = set()
    for time, paths in sorted(trash.passes.items(), reverse=True):
        for path in sorted(paths - seen):
            *_, value, _ = path.split("/")
            digest = f"{'sha256' if len(value) == 64 else 'sha512'}:{value}"
            there = digest in stored.blobs if path.startswith("blobs/") else path in links
            used = digest in needed or (path.startswith("blobs/") and linked.get(digest, 0) >= time)
            if used and not there:
                yield time, path
                seen.add(path)
