"""What the scripts say of nginx' files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks.caches import images
from tasks.caches.facts import CachedFact, CachedHashFact
from tasks.caches.images import Cached, Image
from tests.unit.caches import files

DATA = b"\r\n\r\nKEY: x\n" + bytes(range(256)) * 100
CONFIG, LAYER = b'{"architecture": "amd64"}', DATA
MANIFEST = f'{{"config": "{files.digest(CONFIG)}", "layers": ["{files.digest(LAYER)}"]}}'.encode()


def read(folder: Path) -> Cached:
    return CachedFact().process(run(CachedFact().command(str(folder))))


def run(command: str) -> list[str]:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")


def hashed(folder: Path) -> dict[str, str]:
    blobs = images.changed(read(folder), deep=True)
    found = CachedHashFact().process(run(CachedHashFact().command(str(folder), blobs)))
    assert {registry for registry, _ in found} <= {blob.registry for blob in blobs}
    return {digest: kind for (_, digest), kind in found.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The caches with one image."""
    files.put_tag(tmp_path, "docker.io/library/web:1", MANIFEST, 300.5)
    files.put_manifest(tmp_path, "docker.io", MANIFEST)
    files.put_blob(tmp_path, "docker.io", CONFIG)
    files.put_blob(tmp_path, "docker.io", LAYER, 4096)
    return tmp_path


def test_no_caches(tmp_path: Path) -> None:
    assert read(tmp_path) == read(tmp_path / "none") == Cached(deployed=False)


def test_empty_caches(tmp_path: Path) -> None:
    for zone in ("images", "tags"):
        (tmp_path / zone).mkdir()
    assert read(tmp_path) == Cached()
    assert hashed(tmp_path) == {}


def test_each_file_has_its_key_and_what_it_leads_to(folder: Path) -> None:
    found = read(folder)
    (tag,) = found.tags
    assert (tag.image, tag.modified) == (Image("docker.io", "library/web", "1"), 300.5)
    assert tag.digest == files.digest(MANIFEST)
    assert tag.size == (folder / tag.path).stat().st_size
    (manifest,) = (each for each in found.files if each.kind == "manifest")
    assert manifest.mentions == {files.digest(each) for each in (MANIFEST, CONFIG, LAYER)}
    blobs = [each for each in found.files if each.kind == "blob"]
    assert {each.digest for each in blobs} == {files.digest(CONFIG), files.digest(LAYER)}
    assert len(blobs) == 1 + -(-len(LAYER) // 4096)
    assert len(images.of_image(tag.image, found)) == len(found.files)


def test_a_file_that_is_being_written_is_none(folder: Path) -> None:
    before = read(folder)
    piece = folder / before.files[0].path
    piece.with_name(f"{piece.name}.0000000012").write_bytes(piece.read_bytes())
    piece.with_name("f" * 32).write_bytes(b"")
    assert read(folder) == before


def test_when_they_were_hashed_last(folder: Path) -> None:
    (folder / ".verified").touch()
    os.utime(folder / ".verified", (7, 7.25))
    assert read(folder).verified == 7.25


def test_what_is_whole_is_seen_to_be(folder: Path) -> None:
    everything = (MANIFEST, CONFIG, LAYER)
    assert hashed(folder) == {files.digest(each): "whole" for each in everything}


@pytest.mark.parametrize("where", [0, 3, -1])
def test_one_byte_that_changed_is_found(folder: Path, where: int) -> None:
    pieces = [
        each for each in read(folder).files if each.key.startswith(f"docker.io blob {files.digest(LAYER)} ")
    ]
    path = folder / pieces[where].path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert hashed(folder)[files.digest(LAYER)] == "damaged"
    assert hashed(folder)[files.digest(CONFIG)] == "whole"


@pytest.mark.parametrize("begin", [0, 4096, 24576])
def test_of_a_part_nothing_is_said(folder: Path, begin: int) -> None:
    (piece,) = (each for each in read(folder).files if f"{files.digest(LAYER)} bytes={begin}-" in each.key)
    (folder / piece.path).unlink()
    assert hashed(folder)[files.digest(LAYER)] == "part"


def test_a_registry_that_knows_no_ranges_sends_it_at_once(tmp_path: Path) -> None:
    name = files.digest(DATA)
    (tmp_path / "tags").mkdir()
    files.put(
        tmp_path, "images", f"quay.io blob {name} bytes=0-8388607", f"Content-Length: {len(DATA)}\r\n", DATA
    )
    assert hashed(tmp_path) == {name: "whole"}
