"""What is damaged, which tags need it, and what people read of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.repair.damage import Copy, Damage, Found, describe, find, look, summary
from tasks.storage.stored import Stored, Tag
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.reading import read

LAYER = b"a layer"


def image(folder: StoredFolder) -> str:
    """Push one image with two tags in two repositories, and return its manifest's digest."""
    made = folder.image("app", [LAYER], "v1")
    folder.index("app", [made], "latest")
    folder.image("other", [b"another layer"], "v1")
    return str(made["digest"])


@pytest.mark.parametrize(
    ("harm", "hashed", "said"),
    [
        (lambda folder, image: None, [], []),
        (lambda folder, image: folder.data(image).write_bytes(b""), ["IMAGE"],
         ["the manifest IMAGE is empty: app:latest, app:v1 need it"]),
        (lambda folder, image: folder.data(image).write_bytes(b"{}"), ["IMAGE"],
         ["the manifest IMAGE is damaged: app:latest, app:v1 need it"]),
        (lambda folder, image: None, ["LAYER"], ["the layer LAYER is damaged: app:latest, app:v1 need it"]),
        (lambda folder, image: folder.data(digest(LAYER)).write_bytes(b"a lay"), [],
         ["the layer LAYER has 5 bytes, not 7: app:latest, app:v1 need it"]),
        (lambda folder, image: folder.data(digest(LAYER)).unlink(), [],
         ["the layer LAYER is missing: app:latest, app:v1 need it"]),
        (lambda folder, image: folder.write(folder.data(digest(b"refused")), b""), ["REFUSED"],
         ["REFUSED is empty: no tag needs it"]),
        (lambda folder, image: folder.layer_link("app", digest(LAYER)).unlink(), [],
         ["app:latest: the layer LAYER is not in this repository; push it again",
          "app:v1: the layer LAYER is not in this repository; push it again"]),
        (lambda folder, image: (folder.tag_folder("app", "v1") / "current/link").write_bytes(b""), [],
         ["app:v1: its link is empty or damaged; make repair writes it again"]),
    ],
)  # fmt: skip
def test_what_is_said(
    harm: Callable[[StoredFolder, str], object], hashed: list[str], said: list[str], tmp_path: Path
) -> None:
    folder = StoredFolder(tmp_path)
    names = {"IMAGE": image(folder), "LAYER": digest(LAYER), "REFUSED": digest(b"refused")}
    harm(folder, names["IMAGE"])
    found = find(read(tmp_path), {names[each]: "is damaged" for each in hashed})
    lines = list(describe(found, {}, looked=False, program=None))
    for name, each in names.items():
        lines = [line.replace(each, name) for line in lines]
    assert lines == said
    assert all(each.present != ("missing" in each.text) for each in found.damages)


TAG = Tag("app", "v1", "sha256:1", 0)
FOUND = Found((Damage("sha256:1", "the layer sha256:1 is damaged", present=True, tags=(TAG,)),), {})


@pytest.mark.parametrize(
    ("copies", "looked", "program", "unread", "said"),
    [
        ({}, False, None, [], ""),
        ({}, True, None, [], "; no backup has it whole"),
        ({}, True, None, ["pi"], "; whether pi has it whole is not known"),
        ({}, False, "/usr/bin/mine", [], "; look into what /usr/bin/mine keeps"),
        ({}, True, "/usr/bin/mine", [], "; no other backup has it whole: look into what /usr/bin/mine keeps"),
        ({"sha256:1": Copy("pi", "/b", "2026-03-01-030000")}, True, None, ["nas"],
         "; whole in the backup pi:2026-03-01-030000"),
        ({"sha256:1": Copy(None, "/mnt/usb", "2026-03-01-030000")}, True, None, [],
         "; whole in the backup /mnt/usb/2026-03-01-030000"),
    ],
)  # fmt: skip
def test_where_a_backup_has_it(
    copies: dict[str, Copy], looked: bool, program: str | None, unread: list[str], said: str
) -> None:
    lines = describe(FOUND, copies, looked=looked, program=program, unread=unread)
    assert list(lines) == [f"the layer sha256:1 is damaged: app:v1 needs it{said}"]
    assert summary(FOUND) == "1 blob damaged or missing, 1 tag cannot be pulled (app:v1)"


def test_what_was_deleted_while_it_was_read_is_not_damaged(tmp_path: Path) -> None:
    folder = StoredFolder(tmp_path)
    image(folder)
    folder.data(digest(LAYER)).unlink()
    (folder.tag_folder("other", "v1") / "current/link").write_bytes(b"")
    first = read(tmp_path)
    readings = iter([first, Stored(0)])
    assert look(lambda: next(readings), lambda *_: {}, deep=True) == Found((), {})
    twice = look(lambda: first, lambda *_: {}, deep=False)
    assert [each.digest for each in twice.damages] == [digest(LAYER)]
    assert sorted(f"{tag.repository}:{tag.name}" for tag in twice.tags) == [
        "app:latest",
        "app:v1",
        "other:v1",
    ]
