"""Which files belong to an image, and stay because something else needs them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tasks.caches import images
from tasks.caches.images import Cached, CachedFile, Image
from tasks.remote.steps import Conflict

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("alpine", Image("docker.io", "library/alpine")),
        ("alpine:3", Image("docker.io", "library/alpine", "3")),
        ("docker.io/alpine:3", Image("docker.io", "library/alpine", "3")),
        ("docker.io/library/alpine", Image("docker.io", "library/alpine")),
        ("grafana/grafana:11", Image("docker.io", "grafana/grafana", "11")),
        ("ghcr.io/a/b/c:v1", Image("ghcr.io", "a/b/c", "v1")),
        (f"ghcr.io/a/b@{DIGEST}", Image("ghcr.io", "a/b", DIGEST)),
        (f"ghcr.io/a/b:1@{DIGEST}", Image("ghcr.io", "a/b", DIGEST)),
        ("cache.lan:5000/x", Image("cache.lan:5000", "x")),
    ],
)
def test_an_image_is_read_as_docker_reads_it(text: str, image: Image) -> None:
    assert images.parse(text) == image


@pytest.mark.parametrize("text", ["ghcr.io/a/b:v1", f"ghcr.io/a/b@{DIGEST}", "ghcr.io/a/b"])
def test_and_shown_as_it_is_pulled(text: str) -> None:
    assert str(images.parse(text)) == text


def test_a_registry_without_a_cache_is_named() -> None:
    images.check(images.parse("ghcr.io/a"), ["docker.io", "ghcr.io"])
    with pytest.raises(
        Conflict, match=r"^there is no cache of quay.io: registry_caches has docker.io, ghcr.io;"
    ):
        images.check(images.parse("quay.io/a"), ["docker.io", "ghcr.io"])


def name(letter: str) -> str:
    return f"sha256:{letter * 64}"


def file(path: str, key: str, *mentions: str, size: int = 1, modified: float = 1) -> CachedFile:
    return CachedFile(path, size, modified, key, frozenset(map(name, mentions)))


# web:1 is an index e of the manifest a, with the layers b and c; web:2 is the manifest d, with b; and f is nobody's.
FILES = [
    file("web:1", "docker.io library/web:1", "e"),
    file("web:2", "docker.io library/web:2", "d"),
    file("other", "docker.io library/other:1", "d"),
    file("e", f"docker.io manifest {name('e')}", "e", "a"),
    file("a", f"docker.io manifest {name('a')}", "a", "b", "c"),
    file("d", f"docker.io manifest {name('d')}", "d", "b"),
    file("f", f"docker.io manifest {name('f')}", "f", "8"),
    file("b", f"docker.io blob {name('b')} bytes=0-8388607"),
    file("c1", f"docker.io blob {name('c')} bytes=8388608-16777215", modified=2),
    file("c0", f"docker.io blob {name('c')} bytes=0-8388607"),
    file("8", f"docker.io blob {name('8')} bytes=0-8388607"),
    file("elsewhere", f"ghcr.io blob {name('c')} bytes=0-8388607"),
    file("same name", "ghcr.io library/web:1", "e"),
]


def gone(image: str, files: Sequence[CachedFile] = FILES) -> list[str]:
    return [each.path for each in images.of_image(images.parse(image), Cached(files))]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("web:1", ["web:1", "e", "a", "c1", "c0"]),
        ("web:2", ["web:2"]),
        ("web", ["web:1", "web:2", "e", "a", "c1", "c0"]),
        ("other", ["other"]),
        (f"web@{name('e')}", []),
        (f"web@{name('f')}", ["f", "8"]),
        ("web:3", []),
        ("ghcr.io/library/web", ["same name"]),
    ],
)
def test_what_only_an_image_needs_goes_with_it(image: str, expected: list[str]) -> None:
    assert gone(image) == expected


def test_what_a_manifest_without_a_tag_needs_stays() -> None:
    by_digest = file("9", f"docker.io manifest {name('9')}", "9", "c")
    assert gone("web:1", [*FILES, by_digest]) == ["web:1", "e", "a"]


@pytest.mark.parametrize(
    ("verified", "deep", "expected"),
    [
        (0, False, ["e", "a", "d", "f", "b", "c0 c1", "8", "elsewhere"]),
        (1.5, False, ["c0 c1"]),
        (2, False, []),
        (2, True, ["e", "a", "d", "f", "b", "c0 c1", "8", "elsewhere"]),
    ],
)
def test_what_came_since_it_was_hashed_last_is_hashed_whole(
    verified: float, deep: bool, expected: list[str]
) -> None:
    found = images.changed(Cached(FILES, verified), deep=deep)
    assert sorted(" ".join(piece.path for piece in blob.pieces) for blob in found) == sorted(expected)


def test_how_much_the_caches_have_of_each_tag() -> None:
    found = [(str(each.tag.image), each.size, set(each.digests)) for each in images.pulled(Cached(FILES))]
    assert found == [
        ("docker.io/library/web:1", 5, set(map(name, "eabc"))),
        ("docker.io/library/web:2", 2, set(map(name, "db"))),
        ("docker.io/library/other:1", 2, set(map(name, "db"))),
    ]


def test_which_images_need_a_blob() -> None:
    blobs = {blob.digest: blob for blob in images.changed(Cached(FILES[:-2]), deep=True)}
    assert [str(each) for each in images.named(Cached(FILES), blobs[name("c")])] == [
        "docker.io/library/web:1"
    ]
    assert len(images.named(Cached(FILES), blobs[name("b")])) == 3
    assert images.named(Cached(FILES), blobs[name("8")]) == []


def test_a_part_is_what_one_command_and_one_disk_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = images.changed(Cached(FILES), deep=True)
    assert [len(part) for part in images.parts(blobs)] == [len(blobs)]
    monkeypatch.setattr(images, "MOST_PIECES", 2)
    parts = list(images.parts(blobs))
    assert [each for part in parts for each in part] == blobs
    assert max(sum(len(blob.pieces) for blob in part) for part in parts) == 2
    assert list(images.parts([])) == []
