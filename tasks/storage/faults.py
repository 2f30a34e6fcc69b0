"""Which tags do not pull: what they need is missing, damaged, or not linked into their repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tasks.storage.stored import Repository, Stored, Tag


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a digest that a tag needs; with the tag itself if `digest` is None.

    `in_data` says that it is the data, which is missing or not what the digest says, and no link.
    """

    digest: str | None
    text: str
    in_data: bool = field(default=False, compare=False)


def faults(
    stored: Stored, damaged: Mapping[str, str] = MappingProxyType({})
) -> Mapping[Tag, tuple[Fault, ...]]:
    """Return the tags that do not pull, with what is wrong.

    Data is compared by its size; only the text of manifests by its digest. `damaged` says more of blobs, by digest, if
    they were hashed: "is empty". What tags are attached to is not needed. Somebody may have deleted a tag while it was
    read: what two readings say is so.
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
                    known[digest] = tuple(_faults_of(stored, repository, digest, damaged))
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


def _faults_of(
    stored: Stored, repository: Repository, digest: str, damaged: Mapping[str, str]
) -> Iterator[Fault]:
    """Return what is wrong with one manifest and its layers."""
    manifest, blob = stored.manifests.get(digest), stored.blobs.get(digest)
    what = f"the manifest {digest}"
    if blob is None:
        yield Fault(digest, f"{what} is missing", in_data=True)
    elif fault := _link_fault(repository.manifests, repository.half_written, digest):
        yield Fault(digest, f"{what} {fault}")
    elif digest in damaged:
        yield Fault(digest, f"{what} {damaged[digest]}", in_data=True)
    elif manifest and not manifest.whole:
        yield Fault(digest, f"{what} is {'damaged' if blob.size else 'empty'}", in_data=True)
    for layer, size in (manifest.layers if manifest else {}).items():
        data, what = stored.aliases.get(layer, layer), f"the layer {layer}"
        if (blob := stored.blobs.get(data)) is None:
            yield Fault(layer, f"{what} is missing", in_data=True)
        elif fault := _link_fault(repository.layers, repository.half_written, layer):
            yield Fault(layer, f"{what} {fault}")
        elif data in damaged:
            yield Fault(layer, f"{what} {damaged[data]}", in_data=True)
        elif size not in {None, blob.size}:
            yield Fault(layer, f"{what} has {blob.size} bytes, not {size}", in_data=True)


def _link_fault(links: Mapping[str, int], half_written: frozenset[str], digest: str) -> str | None:
    """Return what keeps a repository from serving a digest. It needs its own link to it (linkedblobstore.go, Stat)."""
    if digest not in links:
        return "is not in this repository"
    return "has an empty or damaged link" if digest in half_written else None
