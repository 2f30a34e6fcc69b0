"""Whether a copy of the images is what it was made from, and whether its tags can be pulled."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.problem import some_of
from tasks.remote.steps import Conflict
from tasks.storage.faults import faults
from tasks.storage.stored import Stored


def describe_faults(stored: Stored) -> Iterator[str]:
    """Yield a line if tags of a registry cannot be pulled: its backup cannot be better than it is."""
    if broken := faults(stored):
        tag, (fault, *_) = next(iter(broken.items()))
        names = some_of([f"{each.repository}:{each.name}" for each in broken])
        yield f"not to be pulled, from the backup neither ({len(broken)}): {names} ({tag.name}: {fault.text})"


def compare(stored: Stored, copied: Stored, place: str) -> None:
    """Raise `Conflict` if a copy lacks a tag, a manifest, a layer or bytes of what it was made from."""
    lost = [each for each in stored.tags if _digest(copied, each.repository, each.name) != each.digest]
    lost += [tag for tag in faults(copied) if tag not in faults(stored)]
    short = [
        digest
        for digest, blob in stored.blobs.items()
        if digest not in copied.blobs or copied.blobs[digest].size != blob.size
    ]
    if not (lost or short or copied.problems):
        return
    names = some_of([*(f"{tag.repository}:{tag.name}" for tag in lost), *short, *copied.problems])
    raise Conflict(f"the copy in {place} is not complete: {names}", "run make backup again")


def summary(stored: Stored) -> str:
    """Return what there is in a copy, for people."""
    return f"{len(stored.tags)} tags, {len(stored.blobs)} blobs, {size(stored.used)}"


def size(number: int) -> str:
    """Return a number of bytes, for people."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.2f} MB"


def _digest(stored: Stored, repository: str, tag: str) -> str | None:
    found = stored.repositories.get(repository)
    return found.tags[tag].digest if found and tag in found.tags else None
