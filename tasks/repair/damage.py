"""What is damaged: which blobs have other data than their digest says or none at all, and which tags need them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.problem import some_of
from tasks.repair import links
from tasks.storage.faults import faults
from tasks.storage.hashing import MANIFEST_SIZE, Part, hash_in_parts
from tasks.storage.stored import Stored, Tag


@dataclass(frozen=True)
class Damage:
    """A blob that is damaged or missing, with the tags that do not pull because of it.

    `digest` is the one under which its data is, or would be. If it is `present`, whoever pushes is told that it is
    there, and sends nothing: 2.8 does not write a manifest again either (distribution, registry/storage/blobstore.go,
    Put).
    """

    digest: str
    text: str
    present: bool
    tags: tuple[Tag, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}: {_needed_by(self.tags)}"


@dataclass(frozen=True)
class Copy:
    """A backup that has a blob whole: its name and the folder it is in, on a `host` in `backup_hosts` if not None."""

    host: str | None
    folder: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}:{self.name}" if self.host else f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class Found:
    """`damages`, and the `others`: tags that do not pull although all that they need is there and whole.

    `links` are those that can be written again: what they have to say, by path.
    """

    damages: tuple[Damage, ...]
    others: Mapping[Tag, str]
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def tags(self) -> list[Tag]:
        """The tags that do not pull."""
        return list(dict.fromkeys([*(tag for each in self.damages for tag in each.tags), *self.others]))


def find(stored: Stored, hashed: Mapping[str, str]) -> Found:
    """Return what is damaged, given what the hashes of blobs say (`HashFact`)."""
    sizes = {digest: blob.size for digest, blob in stored.blobs.items()}
    damaged = {digest: "is empty" if sizes.get(digest) == 0 else why for digest, why in hashed.items()}
    tags: dict[str, list[Tag]] = defaultdict(list)
    texts: dict[str, str] = {}
    others: dict[Tag, str] = {}
    torn = links.torn(stored)
    for tag, wrong in faults(stored, damaged).items():
        for fault in wrong:
            data = stored.aliases.get(fault.digest or "", fault.digest)
            if data and fault.in_data:
                texts.setdefault(data, fault.text)
                tags[data].append(tag)
            else:
                mended = links.repairs(torn, tag, fault.digest)
                remedy = "make repair writes it again" if mended else "push it again"
                others.setdefault(tag, f"{fault.text}; {remedy}")
    for digest, why in damaged.items():
        texts.setdefault(digest, f"{digest} {why}")
    return Found(
        tuple(Damage(each, text, each in sizes, tuple(tags[each])) for each, text in texts.items()),
        others,
        torn,
    )


def look(
    read: Callable[[], Stored], ask: Callable[[Part, int, int], Mapping[str, str]], *, deep: bool
) -> Found:
    """Return what is damaged, and was so twice: somebody may have been pushing or deleting it.

    `read` reads what is stored, `ask` hashes a part of it (`hash_in_parts`): all of it if `deep`, else what may be a
    manifest. Of larger blobs then the sizes are compared.
    """
    stored = read()
    hashed = hash_in_parts(stored, None if deep else MANIFEST_SIZE, ask)
    first = find(stored, hashed)
    if not first.damages and not first.others and not first.links:
        return first
    again = find(read(), hashed)
    known = {each.digest for each in first.damages}
    return replace(
        again,
        damages=tuple(each for each in again.damages if each.digest in known),
        others={tag: why for tag, why in again.others.items() if tag in first.others},
        links={path: digest for path, digest in again.links.items() if first.links.get(path) == digest},
    )


def summary(found: Found) -> str:
    """Return in one line how much is damaged, empty if nothing is."""
    parts = (
        [f"{len(found.damages)} blob{'s'[: len(found.damages) != 1]} damaged or missing"]
        if found.damages
        else []
    )
    if names := [_name(tag) for tag in found.tags]:
        parts.append(f"{len(names)} tag{'s'[: len(names) != 1]} cannot be pulled ({some_of(names)})")
    return ", ".join(parts)


def describe(
    found: Found, copies: Mapping[str, Copy], *, looked: bool, program: str | None, unread: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a line for each damage, with the backup that has it whole, and for each tag that was linked wrongly.

    `looked` says whether any folder or host keeps backups, `program` is the user's own that does, `unread` are hosts
    whose backups could not be read.
    """
    if unread:
        nowhere = f"; whether {', '.join(unread)} has it whole is not known"
    elif program:
        nowhere = f"; {'no other backup has it whole: ' if looked else ''}look into what {program} keeps"
    else:
        nowhere = "; no backup has it whole" if looked else ""
    for each in found.damages:
        yield (
            f"{each}; whole in the backup {copies[each.digest]}"
            if each.digest in copies
            else f"{each}{nowhere}"
        )
    for tag, why in found.others.items():
        yield f"{_name(tag)}: {why}"


def names(tags: Sequence[Tag]) -> str:
    """Return the first of these tags, for a line that people read."""
    return some_of([_name(tag) for tag in tags], 5)


def progress(done: int, total: int) -> str:
    """Return how far hashing is."""
    return f"hash the images: {done / 1e9:.1f} of {total / 1e9:.1f} GB"


def _name(tag: Tag) -> str:
    return f"{tag.repository}:{tag.name}"


def _needed_by(tags: tuple[Tag, ...]) -> str:
    return (
        f"{some_of([_name(tag) for tag in tags], 5)} need{'s'[: len(tags) == 1]} it"
        if tags
        else "no tag needs it"
    )
