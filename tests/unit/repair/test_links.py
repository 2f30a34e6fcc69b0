"""Links that a killed registry left empty are written again as far as it is known what they said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.repair import links
from tasks.repair.damage import describe, find
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.reading import read

LAYER = b"a layer"
LONG_AGO = 1_700_000_000


def tear(path: Path, content: bytes = b"", changed: int = LONG_AGO) -> None:
    """Leave a link as 2.8 does if it is killed while it writes it."""
    path.write_bytes(content)
    os.utime(path, (changed, changed))


def torn_layer(folder: StoredFolder, image: str) -> None:
    tear(folder.layer_link("app", digest(LAYER)))


def torn_manifest(folder: StoredFolder, image: str) -> None:
    tear(folder.revision("app", image), b"sha256:12")


def torn_tag(folder: StoredFolder, image: str) -> None:
    tear(folder.tag_folder("app", "v1") / "current/link")


def torn_tag_of_two(folder: StoredFolder, image: str) -> None:
    """The tag was given another image last: that is the one whose push was cut off."""
    folder.image("app", [b"before"], "v1")
    folder.image("app", [LAYER], "v1")
    for link in (folder.tag_folder("app", "v1") / "index").rglob("link"):
        changed = LONG_AGO + (link.parent.name == image.removeprefix("sha256:"))
        os.utime(link, (changed, changed))
    torn_tag(folder, image)


def torn_tag_of_one_second(folder: StoredFolder, image: str) -> None:
    torn_tag_of_two(folder, image)
    for link in (folder.tag_folder("app", "v1") / "index").rglob("link"):
        os.utime(link, (LONG_AGO, LONG_AGO))


def without_data(folder: StoredFolder, image: str) -> None:
    torn_manifest(folder, image)
    folder.data(image).unlink()


def just_now(folder: StoredFolder, image: str) -> None:
    link = folder.layer_link("app", digest(LAYER))
    link.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "said", "written", "left"),
    [
        (lambda folder, image: None, [], 0, []),
        (torn_layer, [f"app:v1: the layer {digest(LAYER)} has an empty or damaged link; make repair writes it again"],
         1, []),
        (torn_manifest, ["app:v1: the manifest IMAGE has an empty or damaged link; make repair writes it again"], 1, []),
        (torn_tag, ["app:v1: its link is empty or damaged; make repair writes it again"], 1, []),
        (torn_tag_of_two, ["app:v1: its link is empty or damaged; make repair writes it again"], 1, []),
        (torn_tag_of_one_second, ["app:v1: its link is empty or damaged; push it again"], 0,
         ["app:v1: its link is empty or damaged; push it again"]),
        (without_data, ["the manifest IMAGE is missing: app:v1 needs it"], 0,
         ["the manifest IMAGE is missing: app:v1 needs it"]),
        (just_now, [f"app:v1: the layer {digest(LAYER)} has an empty or damaged link; make repair writes it again"], 0,
         [f"app:v1: the layer {digest(LAYER)} has an empty or damaged link; make repair writes it again"]),
    ],
)  # fmt: skip
def test_what_is_written_again(
    harm: Callable[[StoredFolder, str], object],
    said: list[str],
    written: int,
    left: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "ONE_AT_A_TIME", "umask 077")
    folder = StoredFolder(tmp_path)
    image = str(folder.image("app", [LAYER], "v1")["digest"])

    def lines() -> list[str]:
        found = find(read(tmp_path), {})
        return [each.replace(image, "IMAGE") for each in describe(found, {}, looked=False, program=None)]

    harm(folder, image)
    owner = {path: os.stat(path).st_mode for path in tmp_path.rglob("link")}
    assert lines() == said
    script, listed = links.write(str(tmp_path), find(read(tmp_path), {}).links)
    done = subprocess.run(
        ["sh", "-c", script], input=f"{listed}\n", capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == written
    assert lines() == left
    assert {path: os.stat(path).st_mode for path in tmp_path.rglob("link")} == owner
    if harm in {torn_tag, torn_tag_of_two}:
        assert (folder.tag_folder("app", "v1") / "current/link").read_text() == image
