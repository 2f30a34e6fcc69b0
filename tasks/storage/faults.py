"""Which tags do not pull: what they need is missing, damaged, or not linked into their repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tasks.storage.stored import Blob, Repository, Stored, Tag


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a digest that a tag needs; with the tag itself if `digest` is None."""

    digest: str | None
    text: str


def faults(stored: Stored) -> Mapping[Tag, tuple[Fault, ...]]:
    """Return the tags that do not pull, with what is wrong.

    Data is compared by its size; only the text of manifests by its digest. What tags are attached to is not needed.
    Somebody may have deleted a tag while it was read: what two readings say is so.
    """
    found: dict[Tag, tuple[Fault, ...]] = {}
    for repository in stored.repositories.values():
        known: dict[str, tuple[Fault, ...]] = {}
        for tag in repository.tags.values():
            if tag.digest is None:
                found[tag] = (Fault(None, "its link is empty or damaged"),)
                continue
            wrong: list[Fault] = []
            for digest in _manifests(stored, tag.digest):
                if digest not in known:
                    known[digest] = tuple(_faults_of(stored, repository, digest))
                wrong += known[digest]
            if wrong:
                found[tag] = tuple(dict.fromkeys(wrong))
    return found


def _manifests(stored: Stored, digest: str) -> Iterator[str]:
    """Return a manifest and its children, and theirs."""
    seen = set()
    todo = [digest]
    while todo:
        if (each := todo.pop()) not in seen:
            seen.add(each)
            yield each
            if manifest := stored.manifests.get(each):
                todo += manifest.children


def _faults_of(stored: Stored, repository: Repository, digest: str) -> Iterator[Fault]:
    """Return what is wrong with one manifest and its layers."""
    manifest, blob = stored.manifests.get(digest), stored.blobs.get(digest)
    if fault := _link_fault(repository.manifests, repository.half_written, digest, blob):
        yield Fault(digest, f"the manifest {digest} {fault}")
    elif blob and manifest and not manifest.whole:
        yield Fault(digest, f"the manifest {digest} is {'damaged' if blob.size else 'empty'}")
    for layer, size in (manifest.layers if manifest else {}).items():
        blob = stored.blobs.get(stored.aliases.get(layer, layer))
        if fault := _link_fault(repository.layers, repository.half_written, layer, blob):
            yield Fault(layer, f"the layer {layer} {fault}")
        elif blob and size not in {None, blob.size}:
            yield Fault(layer, f"the layer {layer} has {blob.size} bytes, not {size}")


def _link_fault(
    links: Mapping[str, int], half_written: frozenset[str], digest: str, blob: Blob | None
) -> str | None:
    """Return what keeps a repository from serving a digest. It needs its own link to it (linkedblobstore.go, Stat)."""
    if blob is None:
        return "is missing"
    if digest not in links:
        return "is not in this repository"
    return "has an empty or damaged link" if digest in half_written else None
