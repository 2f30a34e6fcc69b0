"""What the web page is told of the images."""

from __future__ import annotations

import json

from tasks.room.shown import index
from tasks.room.uses import Use, in_use
from tasks.storage.stored import Blob, Manifest, Repository, Stored, Tag

ONE, TWO, SHARED, HALF = (f"sha256:{digit * 64}" for digit in "abcd")


def manifest(*layers: str) -> Manifest:
    return Manifest(True, "", {}, dict.fromkeys(layers), None, frozenset(layers))


def stored() -> Stored:
    tags = {
        "1": Tag("apps/web", "1", ONE, 100),
        "latest": Tag("apps/web", "latest", ONE, 200),
        "2": Tag("apps/web", "2", TWO, 300),
        "broken": Tag("apps/web", "broken", None, 400, {HALF: 400}),
    }
    repositories = {
        "apps/web": Repository("apps/web", tags, {ONE: 100, TWO: 300}),
        "empty": Repository("empty"),
    }
    sizes = {ONE: 10, TWO: 20, SHARED: 1000}
    blobs = {digest: Blob(size, 1) for digest, size in sizes.items()}
    return Stored(500, True, repositories, blobs, {ONE: manifest(SHARED), TWO: manifest(SHARED)})


def test_each_image_is_there_once_with_all_that_uses_it() -> None:
    uses = [
        Use("pod web/a on k3s-1", f"nas/apps/web@{TWO}"),
        Use("container b on nas", "nas/apps/web:2"),
        Use("c", "x/y:2"),
    ]
    assert json.loads(index(stored(), in_use(stored(), uses), uses_known=True)) == {
        "used": 1030,
        "uses_known": True,
        "repositories": {
            "apps/web": {
                "images": [
                    [ONE, 1010, 1010, []],  # both of its tags need all of it
                    [TWO, 1020, 1000, ["container b on nas", "pod web/a on k3s-1"]],
                ],
                "tags": {"1": [0, 100], "latest": [0, 200], "2": [1, 300]},
            },
            "empty": {"images": [], "tags": {}},
        },
    }


def test_what_is_used_by_name_makes_twins_differ() -> None:
    found = json.loads(index(stored(), in_use(stored(), [Use("web", "apps/web:latest")]), uses_known=False))
    web = found["repositories"]["apps/web"]
    assert [web["images"][web["tags"][tag][0]][3] for tag in ("1", "latest")] == [[], ["web"]]
    assert found["uses_known"] is False


def test_the_same_images_make_the_same_text() -> None:
    before, after = stored(), stored()
    assert index(before, in_use(before, []), uses_known=True) == index(
        after, in_use(after, []), uses_known=True
    )
