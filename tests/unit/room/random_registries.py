"""Draw registries, rules and what is in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Literal, TypeVar

from hypothesis import strategies as st

from tasks.room.uses import Use
from tasks.settings.rules import RetentionRule
from tasks.storage.stored import Blob, Manifest, Repository, Stored, Tag

T = TypeVar("T")
DAY = 86400
NOW = 1000 * DAY
REPOSITORIES = ["apps/web", "ci/web", "nginx"]
TAGS = ["latest", "1.0", "1.1", "pr-1", "pr-2", "pr-3"]
HOSTS = ["registry.homelab.local/", "192.168.1.10:5443/", "nas:5000/", "localhost/", ""]
PATTERNS = ["*", "apps/*", "ci/*", "*web", "nginx"]
TAG_PATTERNS = ["*", "pr-*", "1.?", "latest", "sha256-*"]


def digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Named:
    """A text that somebody uses, with the tag or the digest that it means."""

    text: str
    tag: tuple[str, str] | None = None
    digest: str | None = None

    @property
    def use(self) -> Use:
        return Use("container x on y", self.text)


@dataclass(frozen=True)
class Drawn:
    stored: Stored
    rules: list[RetentionRule]
    uses: list[Named]
    untagged_days: int | None


def image(number: int, layers: list[int]) -> tuple[str, Manifest]:
    config = digest(f"config {number}")
    digests = dict.fromkeys([config, *(digest(f"layer {each}") for each in layers)], 1)
    return digest(f"image {number}"), Manifest(True, "image", {}, digests, None, frozenset(digests))


def registries() -> st.SearchStrategy[Drawn]:
    """Draw from one number each: that is ten times as fast as to have hypothesis draw every part."""
    return st.integers(0, 2**64).map(lambda seed: draw(Random(seed)))  # noqa: S311


def draw(by: Random) -> Drawn:
    manifests = dict(image(each, _some(by, range(6), 3)) for each in range(5))
    images = list(manifests)
    for number in range(2):
        children = dict.fromkeys(by.choices(images, k=by.randint(1, 2)), 1)
        manifests[digest(f"index {number}")] = Manifest(True, "", children, {}, None, frozenset(children))
    for number in range(2):  # signatures, one as tags do it and one as referrers do
        subject = by.choice(images)
        layers = {digest(f"signature {number}"): 1}
        names = frozenset({*layers, *([subject] if number else [])})
        of = subject if number else None
        manifests[digest(f"signed {number}")] = Manifest(True, "", {}, layers, of, names)
    sizes = {each: by.randint(0, 9) for m in manifests.values() for each in sorted(m.layers)}
    blobs = {each: Blob(size, 0) for each, size in (sizes | dict.fromkeys(manifests, 1)).items()}
    stored = Stored(
        NOW, True, {name: repository(by, name, list(manifests)) for name in REPOSITORIES}, blobs, manifests
    )
    rules = [rule(by) for _ in range(by.randint(0, 3))]
    uses = [use(by, [*manifests, *sizes]) for _ in range(by.randint(0, 3))]
    return Drawn(stored, rules, uses, by.choice([None, 0, 7]))


def repository(by: Random, name: str, manifests: list[str]) -> Repository:
    links = {each: NOW - by.randint(0, 40) * DAY // 2 for each in _some(by, manifests, 7)}
    attached = [f"{each.replace(':', '-')}.sig" for each in links]
    tags = {
        tag: Tag(name, tag, by.choice(list(links)), NOW - by.randint(0, 40) * DAY // 2)
        for tag in _some(by, [*TAGS, *attached], 8)
        if links
    }
    return Repository(name, tags, links)


def rule(by: Random) -> RetentionRule:
    last, days = by.choice([(None, None), (1, None), (2, None), (None, 5), (None, 15), (1, 10), (2, 3)])
    keep: Literal[True] | None = None if last or days else True
    return RetentionRule(
        repositories=by.choice(PATTERNS),
        tags=by.choice(TAG_PATTERNS),
        keep=keep,
        keep_last=last,
        keep_days=days,
    )


def use(by: Random, digests: list[str]) -> Named:
    host, name, tag, one = (by.choice(each) for each in (HOSTS, REPOSITORIES, TAGS, digests))
    return by.choice(
        [
            Named(f"{host}{name}:{tag}", (name, tag)),
            Named(f"{host}{name}", (name, "latest")),
            Named(f"{host}{name}:{tag}@{one}", (name, tag), one),
            Named(f"{host}{name}@{one}", None, one),
            Named(f"docker-pullable://nas:5000/{name}@{one}", None, one),
            Named(one, None, one),
            Named(f'["{host}{name}@{one}"]', None, one),
        ]
    )


def _some(by: Random, of: Sequence[T], most: int) -> list[T]:
    return by.sample(of, min(by.randint(0, most), len(of)))
