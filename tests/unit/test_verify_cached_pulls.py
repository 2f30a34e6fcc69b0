"""Pulls through the caches that `make verify` does twice: what is pulled, and what each failure is called."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks.caches.images import Cached, CachedFile, Image
from tests.verify import cached_pulls
from tests.verify.backend import Host

WEB = Image("docker.io", "library/web", "1")
START = 1_790_000_000


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


class FakePuller:
    """A runtime that has images with these names and digests; `codes` are those of its pulls."""

    title = "Podman"

    def __init__(self, *there: str, codes: tuple[int, ...] = (0, 0)) -> None:
        self.host = cast(Host, SimpleNamespace(name="node"))
        self.there, self.codes, self.kept = there, list(codes), set[str]()

    def pull_without_login(self, reference: str) -> Any:
        self.kept.add(reference)
        return SimpleNamespace(rc=self.codes.pop(0), stdout="", stderr="Error: no such host\n")

    def remove(self, reference: str) -> Any:
        self.kept.remove(reference)
        return SimpleNamespace(rc=0)

    def has(self, _reference: str, signs: Collection[str]) -> bool:
        return bool(set(signs) & set(self.there))


class FakeRegistry:
    """A registry host whose caches' log has these entries: the second in which they were, status, how, and path."""

    name = "nas"

    def __init__(self, *entries: tuple[int, int, str, str]) -> None:
        self.entries, self.now = entries, START

    def output(self, command: str, *_: str) -> str:
        if "date" in command:
            self.now += 1
            return f"{self.now}\n"
        return "\n".join(
            json.dumps(
                {
                    "time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(START + second)),
                    "status": status,
                    "cache": how,
                    "path": f"/v2/{path}",
                }
            )
            for second, status, how, path in self.entries
        )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_pulls, "FLUSHED", 0)
    monkeypatch.setattr(cached_pulls, "PATIENCE", 0)


MANIFEST, BLOB = "library/web/manifests/1?ns=docker.io", f"library/web/blobs/{digest('b')}"
FILLED = [(1, 200, "MISS", MANIFEST), (1, 206, "MISS", BLOB)]
"""The first pull, in second 1; the next one is in second 2."""


@pytest.mark.parametrize(
    "second",
    [
        [(2, 200, "HIT", MANIFEST), (2, 206, "HIT", BLOB)],
        [(2, 200, "", MANIFEST), (2, 206, "STALE", BLOB)],
        [(2, 200, "HIT", MANIFEST), (2, 404, "", "library/web/referrers/sha256:ab")],
        [(2, 200, "HIT", MANIFEST), (2, 404, "", "library/web/manifests/sha256-ab.sig")],
        [(2, 200, "HIT", MANIFEST), (2, 503, "", "library/another/manifests/1")],
    ],
)
def test_what_comes_from_disk_the_second_time(second: list[tuple[int, int, str, str]]) -> None:
    puller = FakePuller()
    cached_pulls.check(puller, [WEB], cast(Host, FakeRegistry(*FILLED, *second)))
    assert puller.kept == set()


@pytest.mark.parametrize(
    ("codes", "entries", "said"),
    [
        (
            (1,),
            [],
            "node: Podman cannot pull docker.io/library/web:1, and did not ask the caches (Error: no such host); "
            "run make deploy",
        ),
        (
            (1,),
            [(1, 503, "", MANIFEST)],
            "nas: docker.io does not answer, or sends something else, for docker.io/library/web:1, so that Podman on "
            "node did not get it through the caches (Error: no such host); see whether nas reaches docker.io, and run "
            "again",
        ),
        (
            (1,),
            [(1, 429, "", MANIFEST)],
            "nas: docker.io has had too many requests, and does not give docker.io/library/web:1, so that Podman on node "
            "did not get it through the caches (Error: no such host); see whether nas reaches docker.io, and run again",
        ),
        (
            (0, 1),
            [*FILLED, (2, 200, "HIT", MANIFEST)],
            "node: Podman cannot pull docker.io/library/web:1 (Error: no such host); see docker logs "
            "homelab-registry-cache on nas",
        ),
        (
            (0, 0),
            [(1, 503, "", MANIFEST), (2, 200, "MISS", MANIFEST)],
            "nas: docker.io does not answer, or sends something else, for docker.io/library/web:1, so that Podman on "
            "node did not get it through the caches (it pulled from the internet); see whether nas reaches docker.io, "
            "and run again",
        ),
        (
            (0, 0),
            FILLED,
            "node: Podman does not pull docker.io/library/web:1 through the caches; run make deploy",
        ),
        (
            (0, 0),
            [*FILLED, (2, 200, "HIT", MANIFEST), (2, 206, "MISS", BLOB)],
            "nas: a second pull of docker.io/library/web:1 by Podman on node asks the internet again "
            f"(/v2/{BLOB}); see whether registry_cache_limit is too small for it",
        ),
    ],
)
def test_each_failure_is_a_line(
    codes: tuple[int, ...], entries: list[tuple[int, int, str, str]], said: str
) -> None:
    with pytest.raises(AssertionError) as failed:
        cached_pulls.check(FakePuller(codes=codes), [WEB], cast(Host, FakeRegistry(*entries)))
    assert str(failed.value) == said


def files(name: str, letter: str, size: int) -> list[CachedFile]:
    """Return a tag and its manifest, with a configuration that is mentioned only."""
    upstream = name.partition(" ")[0]
    mentions = frozenset({digest(letter), digest(letter.upper())})
    return [
        CachedFile(f"tag {name}", 1, 1, name, frozenset({digest(letter)})),
        CachedFile(f"manifest {name}", size, 1, f"{upstream} manifest {digest(letter)}", mentions),
    ]


CACHED = Cached(
    [
        *files("docker.io library/big:1", "a", 5000),
        *files("docker.io library/web:1", "b", 700),
        *files("ghcr.io me/huge:1", "c", cached_pulls.MOST + 1),
    ]
)


@pytest.mark.parametrize(
    ("there", "cached", "upstream", "chosen"),
    [
        ((), CACHED, "docker.io", "docker.io/library/web:1"),
        (("docker.io/library/web",), CACHED, "docker.io", "docker.io/library/big:1"),
        ((digest("B"),), CACHED, "docker.io", "docker.io/library/big:1"),
        ((digest("B"), digest("a")), CACHED, "docker.io", "None"),
        ((), CACHED, "ghcr.io", "None"),
        ((), CACHED, "quay.io", "None"),
        ((), Cached(), "docker.io", "docker.io/library/hello-world:latest"),
        (("hello-world",), Cached(), "docker.io", "None"),
    ],
)
def test_the_smallest_image_that_is_not_there_under_any_name(
    there: tuple[str, ...], cached: Cached, upstream: str, chosen: str
) -> None:
    assert str(cached_pulls.choose(FakePuller(*there), cached, upstream)) == chosen
