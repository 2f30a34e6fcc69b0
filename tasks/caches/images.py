"""Which files of the caches belong to an image, and what of them others need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.remote.steps import Conflict
from tasks.settings.caches import HUB

FILE = re.compile("(?:images|tags)/[0-9a-f]/[0-9a-f]{2}/[0-9a-f]{32}")
"""What nginx names a file after, the digest of its key; one that is being written has more (`ngx_create_temp_file`)."""


MOST_PIECES, MOST_BYTES = 1000, 2_000_000_000
"""How much is hashed in one round trip: a command has 128 KiB at most (execve(2), MAX_ARG_STRLEN)."""


@dataclass(frozen=True)
class Image:
    """An image as a user names it: of the upstream `registry`; without a `reference`, all tags."""

    registry: str
    repository: str
    reference: str | None = None

    def __str__(self) -> str:
        mark = "@" if self.reference and ":" in self.reference else ":"
        return f"{self.registry}/{self.repository}" + (f"{mark}{self.reference}" if self.reference else "")


@dataclass(frozen=True)
class CachedFile:
    """A file of the caches: `key` is what nginx keeps it by, `mentions` are the digests in it if it is no blob."""

    path: str
    size: int
    modified: float
    key: str
    mentions: frozenset[str] = frozenset()

    @property
    def registry(self) -> str:
        """The upstream that it came from."""
        return self.key.partition(" ")[0]

    @property
    def kind(self) -> str:
        """One of `blob`, `manifest` and `tag`."""
        words = self.key.split(" ")
        return words[1] if len(words) > 2 else "tag"

    @property
    def digest(self) -> str:
        """The digest of a blob or a manifest; of a tag, that of the manifest that it means."""
        return self.key.split(" ")[2] if self.kind != "tag" else next(iter(self.mentions), "")

    @property
    def image(self) -> Image:
        """The image that a tag names; `ValueError` for anything else."""
        registry, name = self.key.split(" ")
        repository, _, tag = name.rpartition(":")
        return Image(registry, repository, tag)


@dataclass(frozen=True)
class Cached:
    """The files of the caches on a host. `verified` is when they were hashed last, in seconds since 1970."""

    files: Sequence[CachedFile] = ()
    verified: float = 0
    deployed: bool = True

    @property
    def tags(self) -> list[CachedFile]:
        """The files that say what a tag means."""
        return [each for each in self.files if each.kind == "tag"]


def parse(text: str) -> Image:
    """Return the image that a user names, as Docker reads it: without a registry it is Docker Hub's."""
    rest, _, digest = text.partition("@")
    before, colon, tag = rest.rpartition(":")
    name, reference = (before, tag) if colon and "/" not in tag else (rest, "")
    first, slash, path = name.partition("/")
    if not slash or not re.search("[.:]", first):
        first, path = HUB, name
    if first == HUB and "/" not in path:
        path = f"library/{path}"
    return Image(first, path, digest or reference or None)


def check(image: Image, upstreams: Iterable[str]) -> None:
    """Raise `Conflict` if there is no cache of the image's registry."""
    names = list(upstreams)
    if image.registry not in names:
        raise Conflict(
            f"there is no cache of {image.registry}: registry_caches has {', '.join(names)}",
            "name an image as a pull does (IMAGE=docker.io/library/alpine:3), and run again",
        )


def of_image(image: Image, cached: Cached) -> list[CachedFile]:
    """Return the files of an image that nothing else in the caches needs.

    A manifest that was pulled by digest alone belongs to no name, and keeps what it mentions.
    """
    files = [each for each in cached.files if each.registry == image.registry]
    named = {each.path for each in files if each.kind == "tag" and _is(image, each.image)}
    manifests = {each.digest: each for each in files if each.kind == "manifest"}
    roots = {each.digest for each in files if each.path in named}
    if image.reference in manifests:
        roots.add(image.reference)
    reached = _reached(roots, manifests)
    others = {each.digest for each in files if each.kind == "tag" and each.path not in named}
    kept = _reached(others | (set(manifests) - reached), manifests)
    gone = reached - kept
    return [each for each in files if each.path in named or (each.kind != "tag" and each.digest in gone)]


def _is(image: Image, tag: Image) -> bool:
    same = (tag.registry, tag.repository) == (image.registry, image.repository)
    return same and image.reference in {None, tag.reference}


def _reached(roots: Iterable[str], manifests: Mapping[str, CachedFile]) -> set[str]:
    """Return what manifests lead to, themselves included."""
    found, next_ones = set[str](), set(roots)
    while next_ones:
        found |= next_ones
        mentioned = (manifests[each].mentions for each in next_ones if each in manifests)
        next_ones = set[str]().union(*mentioned) - found
    return found


@dataclass(frozen=True)
class Pulled:
    """A tag that came through the caches: `size` is what they have of its image, `digests` all that it leads to."""

    tag: CachedFile
    size: int
    digests: frozenset[str]


@dataclass
class Blob:
    """The pieces of a blob or a manifest in the caches, in their order."""

    registry: str
    digest: str
    pieces: list[CachedFile] = field(default_factory=list)


def changed(cached: Cached, *, deep: bool) -> list[Blob]:
    """Return the blobs and manifests with a piece that came since they were hashed last; with `deep`, all."""
    found: dict[tuple[str, str], Blob] = {}
    for each in sorted(cached.files, key=_begin):
        if each.kind != "tag":
            found.setdefault((each.registry, each.digest), Blob(each.registry, each.digest)).pieces.append(
                each
            )
    return [
        blob
        for blob in found.values()
        if deep or any(each.modified > cached.verified for each in blob.pieces)
    ]


def parts(blobs: Sequence[Blob]) -> Iterator[list[Blob]]:
    """Yield the blobs in parts that are hashed in one round trip each: what a command can name, and a disk can read."""
    part: list[Blob] = []
    for blob in blobs:
        pieces = [piece for each in (*part, blob) for piece in each.pieces]
        if part and (len(pieces) > MOST_PIECES or sum(piece.size for piece in pieces) > MOST_BYTES):
            yield part
            part = []
        part.append(blob)
    if part:
        yield part


def pulled(cached: Cached) -> list[Pulled]:
    """Return each tag whose manifest is there."""
    found = []
    for tag in cached.tags:
        files = [each for each in cached.files if each.registry == tag.registry and each.kind != "tag"]
        reached = _reached({tag.digest}, {each.digest: each for each in files if each.kind == "manifest"})
        if tag.digest in {each.digest for each in files}:
            size = sum(each.size for each in files if each.digest in reached)
            found.append(Pulled(tag, size, frozenset(reached)))
    return found


def named(cached: Cached, blob: Blob) -> list[Image]:
    """Return the images with a tag that need a blob."""
    files = [each for each in cached.files if each.registry == blob.registry]
    manifests = {each.digest: each for each in files if each.kind == "manifest"}
    return [
        each.image
        for each in files
        if each.kind == "tag" and blob.digest in _reached({each.digest}, manifests)
    ]


def _begin(file: CachedFile) -> int:
    """Return where in a blob a piece begins."""
    begin = re.search(r"bytes=(\d+)-", file.key)
    return int(begin[1]) if begin else 0
