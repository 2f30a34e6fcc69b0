"""Which stored images are in use, from what engines and clusters say of theirs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tasks.storage.graph import Root
from tasks.storage.manifests import DIGEST
from tasks.storage.stored import Stored, Tag

_TAG = re.compile(r":([\w][\w.-]{0,127})$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Use:
    """A text in which something names an image, or says which it has; `by` is what that is, for people.

    The text may be a reference as people write it, one with a digest, or an image's ID.
    """

    by: str
    text: str


@dataclass(frozen=True)
class Uses:
    """All that was read.

    `unread` has a line for each host, engine or cluster of which it is unknown what it uses. `pods_on` has the hosts
    whose containers are those of pods.
    """

    found: tuple[Use, ...] = ()
    unread: tuple[str, ...] = ()
    pods_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class InUse:
    """The tags and manifests that are in use, each with what uses it (one of several); `users` has all, by tag."""

    tags: Mapping[Tag, str] = field(default_factory=dict)
    manifests: Mapping[Root, str] = field(default_factory=dict)
    users: Mapping[Tag, tuple[str, ...]] = field(default_factory=dict)


def in_use(stored: Stored, uses: Iterable[Use]) -> InUse:
    """Return what of the stored is in use: by its tag, and by every digest that an engine has of it.

    The registry's name in a reference is not compared. A client may have one of its own for it (an alias, a proxy, the
    name from before), and an image that is kept for a namesake elsewhere does no harm.

    A tag is in use too if its image is by digest: itself, what its index names, or its configuration, whose digest is
    the image ID of Docker's graph drivers and of containers/storage.
    """
    by_digest: dict[str, list[str]] = defaultdict(list)
    by_name: dict[tuple[str, str], list[str]] = defaultdict(list)
    for use in uses:
        for digest in DIGEST.findall(use.text):
            by_digest[digest].append(use.by)
        for name in names(use.text):
            by_name[name].append(use.by)
    manifests: dict[Root, str] = {}
    users: dict[Tag, tuple[str, ...]] = {}
    for repository in stored.repositories.values():
        for digest in repository.manifests:
            if found := _users(stored, digest, by_digest, children=False):
                manifests[repository.name, digest] = found[0]
        for tag in repository.tags.values():
            found = list(by_name.get((tag.repository, tag.name), ()))
            for root in sorted(tag.roots):
                found += _users(stored, root, by_digest, children=True)
            if found:
                users[tag] = tuple(dict.fromkeys(found))
    return InUse({tag: each[0] for tag, each in users.items()}, manifests, users)


def names(reference: str) -> Iterator[tuple[str, str]]:
    """Yield each repository and tag that a reference may stand for, whether or not it begins with a registry's name.

    Without tag and digest the tag is `latest`, and one word is short for one of `library/` (distribution/reference,
    normalize.go).
    """
    name, _, digest = reference.removeprefix("docker-pullable://").partition("@")
    if DIGEST.fullmatch(name):
        return
    match = _TAG.search(name)
    path = name[: match.start()] if match else name
    if tag := match[1] if match else "" if digest else "latest":
        for repository in {path, path.partition("/")[2]} - {""}:
            yield repository, tag
            if "/" not in repository:
                yield f"library/{repository}", tag


def _users(stored: Stored, digest: str, by_digest: Mapping[str, list[str]], *, children: bool) -> list[str]:
    """Return what uses a manifest, its configuration or, on request, what it names as its children."""
    found, todo, seen = list[str](), [digest], set[str]()
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        found += by_digest.get(each, ())
        if manifest := stored.manifests.get(each):
            for layer in manifest.layers:
                found += by_digest.get(layer, ())
            if children:
                todo += manifest.children
    return found
