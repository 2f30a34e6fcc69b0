"""Damaged data is moved away, what came whole is put in, and what is whole stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks.repair import scripts
from tasks.storage.facts import IMAGES
from tests.stored_folder import StoredFolder, digest

LAYER = b"a layer"
NAME = "2026-03-01-030000"


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    made = StoredFolder(tmp_path / "images")
    made.blob(LAYER)
    return made


def put_right(folder: StoredFolder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Carry out the script; return what it prints of the layer."""
    monkeypatch.setattr(scripts, "ONE_AT_A_TIME", "umask 077")
    owner = f"{os.getuid()}:{os.getgid()}"
    script, listed = scripts.put_right(str(folder.path), owner, [digest(LAYER)])
    done = subprocess.run(
        ["sh", "-c", script], input=listed + "\n", capture_output=True, text=True, check=True
    )
    *lines, last = done.stdout.splitlines()
    assert last == "end"
    return [line.removesuffix(f"|{digest(LAYER)}") for line in lines]


def come(folder: StoredFolder, data: bytes) -> None:
    """Put what came of a backup where it is before it is put in."""
    path = folder.path / scripts.INCOMING / NAME / folder.data(digest(LAYER)).relative_to(folder.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("data", "came", "printed", "left"),
    [
        (LAYER, None, ["whole"], LAYER),
        (LAYER, LAYER, ["whole"], LAYER),
        (b"", None, ["moved"], None),
        (b"A layer", LAYER, ["moved", "placed"], LAYER),
        (b"A layer", b"a laye", ["moved"], None),
        (None, LAYER, ["placed"], LAYER),
        (None, None, [], None),
    ],
)
def test_what_is_left(
    folder: StoredFolder,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes | None,
    came: bytes | None,
    printed: list[str],
    left: bytes | None,
) -> None:
    place = folder.data(digest(LAYER))
    if data is None:
        place.unlink()
        place.parent.rmdir()
        place.parent.parent.rmdir()
    else:
        place.write_bytes(data)
    if came is not None:
        come(folder, came)
    assert put_right(folder, monkeypatch) == printed
    assert (place.read_bytes() if place.exists() else None) == left
    kept = folder.path / scripts.DAMAGED / digest(LAYER)[7:]
    assert (kept.read_bytes() if kept.exists() else None) == (data if "moved" in printed else None)
    assert not (folder.path / scripts.INCOMING).exists()


def test_the_folder_of_the_collection_stays_open_for_the_containers(
    folder: StoredFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.data(digest(LAYER)).write_bytes(b"")
    put_right(folder, monkeypatch)
    assert (folder.path / scripts.DAMAGED).parent.stat().st_mode & 0o777 == 0o755
    assert not list((folder.path / IMAGES / "blobs").rglob("data"))
