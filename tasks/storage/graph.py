"""What needs what: what a tag is made of, what it shares, what would be free without it, and what nothing needs.

All functions are pure. Nothing may be deleted because of a reading with `problems`, nor with `faults` in a manifest:
what a damaged one needs is not known.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tasks.storage.stored import Repository, Stored, Tag

Root = tuple[str, str]
"""A repository's name and the digest of a manifest in it."""


@dataclass(frozen=True)
class Graph:
    """What is stored, with what is to stay.

    All tags are. `kept` are further manifests, for example those that were pushed by digest a moment ago.
    """

    stored: Stored
    kept: frozenset[Root] = field(default=frozenset())

    @cached_property
    def referrers(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """By repository and digest, the manifests there that are attached to it (`subject`)."""
        attached = {
            digest: manifest.subject
            for digest, manifest in self.stored.manifests.items()
            if manifest.subject is not None
        }
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, repository in self.stored.repositories.items():
            by_subject: dict[str, tuple[str, ...]] = defaultdict(tuple)
            for digest in repository.manifests:
                if digest in attached:
                    by_subject[attached[digest]] += (digest,)
            found[name] = by_subject
        return found

    def closure(self, repository: str, digests: Iterable[str]) -> frozenset[str]:
        """Return the digests that are kept because of these manifests of a repository, themselves included.

        That is every digest that they name, wherever in their text, and what those name; what is attached to one of
        them; and what one is attached to. Some may not be stored.
        """
        stored, referrers = self.stored, self.referrers.get(repository, {})
        found: set[str] = set()
        todo = list(digests)
        while todo:
            digest = todo.pop()
            if digest in found:
                continue
            found.add(digest)
            if alias := stored.aliases.get(digest):
                todo.append(alias)
            if manifest := stored.manifests.get(digest):
                todo += manifest.names
            todo += referrers.get(digest, ())
        return frozenset(found)

    def needs(self, tag: Tag) -> frozenset[str]:
        """Return the digests that are kept because of a tag."""
        return self._closures[tag.repository, tag.roots]

    def size(self, tag: Tag) -> int:
        """Return the bytes that a tag needs, shared or not."""
        return self.stored.size(self.needs(tag))

    def shared(self, tag: Tag) -> int:
        """Return the bytes of a tag that something else needs as well: they stay if this tag alone is deleted."""
        return self.stored.size({digest for digest in self.needs(tag) if self._users[digest] > 1})

    def freed(self, tags: Iterable[Tag]) -> list[int]:
        """Return for each tag the bytes that become free with it, if these are deleted in this order.

        The sum is exactly what becomes free if all are deleted. What is unreferenced already is not in it. The order
        says only with which of several tags the bytes are counted that they share.
        """
        users = self._users.copy()
        found = []
        for tag in tags:
            needed = self.needs(tag)
            users.subtract(needed)
            found.append(self.stored.size({digest for digest in needed if users[digest] == 0}))
        return found

    @cached_property
    def unreferenced(self) -> frozenset[str]:
        """The blobs that nothing needs: no tag and nothing that is kept.

        A blob that is being pushed is one of them until its manifest is there: see when its data was written, and
        `linked`.
        """
        return frozenset(self.stored.blobs.keys() - self._users.keys())

    @cached_property
    def linked(self) -> Mapping[str, int]:
        """By digest, when any repository's newest link to it was made: also one whose data was there before."""
        found: dict[str, int] = {}
        for repository in self.stored.repositories.values():
            for links in (repository.manifests, repository.layers):
                for name, time in links.items():
                    digest = self.stored.aliases.get(name, name)
                    found[digest] = max(time, found.get(digest, time))
        return found

    @cached_property
    def untagged(self) -> Mapping[Root, int]:
        """The manifests that no tag of their repository leads to, with when that began.

        That is when the last tag that had it was moved to another; or when it was pushed last, if no present tag ever
        had it: when a tag was deleted is not known.
        """
        found = {}
        for name, repository in self.stored.repositories.items():
            tagged = frozenset[str]().union(*map(self.needs, repository.tags.values()))
            moved = _moved(repository)
            for digest, pushed in repository.manifests.items():
                if digest not in tagged:
                    found[name, digest] = max(pushed, moved.get(digest, pushed))
        return found

    @cached_property
    def _closures(self) -> _Memo:
        return _Memo(self)

    @cached_property
    def _users(self) -> Counter[str]:
        """By digest, how many tags and kept manifests need it."""
        users: Counter[str] = Counter()
        for tag in self.stored.tags:
            users.update(self.needs(tag))
        for repository, digest in self.kept:
            users.update(self.closure(repository, [digest]))
        return users


class _Memo(dict[tuple[str, frozenset[str]], frozenset[str]]):
    """Closures that were computed: many tags may have one digest."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __missing__(self, key: tuple[str, frozenset[str]]) -> frozenset[str]:
        found = self[key] = self.graph.closure(*key)
        return found


def _moved(repository: Repository) -> dict[str, int]:
    """Return for each digest that a tag had before the present one, when the last such tag left it."""
    found: dict[str, int] = {}
    for tag in repository.tags.values():
        history = sorted((time, digest) for digest, time in tag.former.items() if digest != tag.digest)
        times = [*(time for time, _ in history), tag.pushed]
        for (_, digest), end in zip(history, times[1:], strict=True):
            found[digest] = max(end, found.get(digest, end))
    return found
