"""What the registry stores: repositories, tags, manifests and blobs, as one reading of its folder found them.

Times are whole seconds since 1970 by the host's clock, sizes are bytes, digests are `algorithm:hex`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

ATTACHED = re.compile(r"sha256-([0-9a-f]{64})(\..+)?")
"""The tags that clients give to what they attach to an image (signatures, SBOMs) if a registry has no referrers API
(OCI distribution-spec, "Referrers Tag Schema"). cosign adds `.sig`, `.att` or `.sbom`."""


@dataclass(frozen=True, slots=True)
class Blob:
    """The data of a digest. `written` is when it was uploaded first: who pushes it again only renews the links to it
    (distribution, registry/storage/blobwriter.go, moveBlob).
    """

    size: int
    written: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one manifest says. `whole` is whether its text has the digest that it is stored under.

    `children` are the manifests of an index, `layers` the configuration and layers of an image, each with the size
    that the manifest gives, None without one; layers that clients get from elsewhere (`urls`) are not among them.
    `subject` is what it is attached to. `names` is every digest in the text, annotations and unknown fields included.
    """

    whole: bool
    media_type: str
    children: Mapping[str, int | None]
    layers: Mapping[str, int | None]
    subject: str | None
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag. `digest` is None if its link is empty or damaged: 2.8 truncates it in place when the tag is pushed again.

    `pushed` is when it was pushed last, also with the digest that it had. `former` has every digest that it ever had,
    the present one included, with when it got it last.
    """

    repository: str
    name: str
    digest: str | None
    pushed: int
    former: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def roots(self) -> frozenset[str]:
        """The digest, or all that it may be."""
        return frozenset(self.former if self.digest is None else (self.digest,))

    @property
    def attached_to(self) -> str | None:
        """The digest of what this tag's manifest is attached to, if its name says so."""
        match = ATTACHED.fullmatch(self.name)
        return f"sha256:{match[1]}" if match else None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its tags by name, and what it may serve by digest, with when that was pushed or mounted last.

    `half_written` are digests with a link that is not complete: it is being written, or was when a host lost power.
    """

    name: str
    tags: Mapping[str, Tag] = field(default_factory=dict)
    manifests: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)
    half_written: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob that is being uploaded, or was not finished. `changed` is when the last byte came."""

    repository: str
    id: str
    size: int
    changed: int


@dataclass(frozen=True)
class Stored:
    """One reading. `exists` is false if the registry never wrote there.

    `manifests` are all that any repository has or had and whose data is still there. `aliases` gives for a digest of
    another algorithm the one under which its data is stored. `leftovers` are the other files among the blobs, by path:
    what a registry that was killed leaves. `problems` says what could not be read: with any, what seems absent may be
    there, and nothing may be deleted.
    """

    read_at: int
    exists: bool = True
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    blobs: Mapping[str, Blob] = field(default_factory=dict)
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()
    leftovers: Mapping[str, Blob] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """All tags of all repositories."""
        return tuple(tag for repository in self.repositories.values() for tag in repository.tags.values())

    @cached_property
    def used(self) -> int:
        """The bytes of all blobs, uploads and leftovers."""
        uploads = sum(each.size for each in self.uploads)
        return self.size(self.blobs) + uploads + sum(each.size for each in self.leftovers.values())

    def size(self, digests: Iterable[str]) -> int:
        """Return the bytes of these blobs, each once, as far as they are there."""
        return sum(self.blobs[digest].size for digest in set(digests) if digest in self.blobs)

    def added(self, since: int) -> int:
        """Return the bytes of the present blobs that were uploaded since a time."""
        return sum(blob.size for blob in self.blobs.values() if blob.written >= since)


def blob_path(digest: str) -> str:
    """Return the path of a blob's data below the registry's folder (distribution, registry/storage/paths.go)."""
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value[:2]}/{value}/data"
