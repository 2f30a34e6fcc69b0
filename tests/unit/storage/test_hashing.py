"""Each blob is hashed once, in parts; what is damaged is named, and what is not known fails the fact."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.storage import hashing
from tasks.storage.facts import IMAGES
from tasks.storage.hashing import HashFact, Part, hash_in_parts, parts
from tasks.storage.stored import Blob, Stored
from tests.stored_folder import StoredFolder, digest

DAMAGED = "is damaged"


def answer(folder: Path, prefixes: tuple[str, ...], most: int | None = None, **environment: str) -> list[str]:
    command = HashFact().command(str(folder), prefixes, most)
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return done.stdout.splitlines()


def hashed(folder: Path, prefixes: tuple[str, ...], most: int | None = None) -> Mapping[str, str]:
    return HashFact().process(answer(folder, prefixes, most))


def all_prefixes(made: StoredFolder) -> tuple[str, ...]:
    return tuple(path.name for path in (made.top / "blobs/sha256").iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    """Three blobs, at a path that a shell would take apart."""
    made = StoredFolder(tmp_path / 'the $(images)\' "folder"')
    for content in (b"one", b"two", b"three" * 1000):
        made.blob(content)
    return made


def test_what_is_whole_is_not_named(folder: StoredFolder) -> None:
    assert hashed(folder.path, all_prefixes(folder)) == {}


@pytest.mark.parametrize("data", [b"", b"on", b"onE", b"one\n"])
def test_other_data_than_the_digest_says(folder: StoredFolder, data: bytes) -> None:
    folder.data(digest(b"one")).write_bytes(data)
    assert hashed(folder.path, all_prefixes(folder)) == {digest(b"one"): DAMAGED}


def test_what_is_larger_or_of_another_part_is_not_read(folder: StoredFolder) -> None:
    large = digest(b"three" * 1000)
    folder.data(large).write_bytes(b"x" * 5000)
    assert hashed(folder.path, all_prefixes(folder), most=4999) == {}
    assert hashed(folder.path, all_prefixes(folder), most=5000) == {large: DAMAGED}
    assert hashed(folder.path, (large[7:9],)) == {large: DAMAGED}
    assert hashed(folder.path, tuple({*all_prefixes(folder)} - {large[7:9]})) == {}


def test_what_vanishes_meanwhile_was_deleted(folder: StoredFolder) -> None:
    folder.data(digest(b"one")).unlink()
    folder.data(digest(b"one")).parent.rmdir()
    folder.data(digest(b"one")).parent.parent.rmdir()
    assert hashed(folder.path, (digest(b"one")[7:9], digest(b"two")[7:9])) == {}


def test_a_disk_that_does_not_read_a_blob_is_said(folder: StoredFolder, tmp_path: Path) -> None:
    path = f"{digest(b'two')[7:9]}/{digest(b'two')[7:]}/data"
    fake = tmp_path / "bin/sha256sum"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho 'sha256sum: {path}: Input/output error' >&2\nexit 1\n")
    fake.chmod(0o755)
    printed = answer(folder.path, all_prefixes(folder), PATH=f"{fake.parent}:{os.environ['PATH']}")
    assert HashFact().process(printed) == {digest(b"two"): "cannot be read (Input/output error)"}


@pytest.mark.parametrize(
    "program",
    ["echo 'sha256sum: out of memory' >&2", "kill -9 $PPID", "echo 0000  somewhere", "exec nothing"],
)
def test_what_was_not_all_hashed_fails_the_fact(folder: StoredFolder, tmp_path: Path, program: str) -> None:
    fake = tmp_path / "bin/sha256sum"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    printed = answer(folder.path, all_prefixes(folder), PATH=f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(FactProcessError):
        HashFact().process(printed)


def test_no_folder_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    with pytest.raises(FactProcessError):
        HashFact().process(answer(tmp_path, ("00",)))
    (tmp_path / IMAGES).mkdir(parents=True)
    assert hashed(tmp_path, ("00",)) == {}


def stored(*sizes: tuple[str, int]) -> Stored:
    """Return a reading with blobs whose digests begin with these digits, of these sizes."""
    return Stored(0, blobs={f"sha256:{name}{'0' * (64 - len(name))}": Blob(size, 0) for name, size in sizes})


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([], None, []),
        ([("00", 1), ("00f", 2), ("01", 3)], None, [(("00", "01"), 6)]),
        ([("00", 60), ("01", 60), ("02", 40)], None, [(("00",), 60), (("01", "02"), 100)]),
        ([("00", 500), ("01", 1)], None, [(("00",), 500), (("01",), 1)]),
        ([("00", 500), ("01", 1)], 10, [(("01",), 1)]),
    ],
)
def test_parts(
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[tuple[str, int]],
    most: int | None,
    expected: list[tuple[tuple[str, ...], int]],
) -> None:
    monkeypatch.setattr(hashing, "PART", 100)
    assert [(part.prefixes, part.bytes) for part in parts(stored(*sizes), most)] == expected


def test_what_is_damaged_was_so_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "PART", 100)
    reading = stored(("00", 60), ("01", 60))
    written, rotten = reading.blobs
    asked = []

    def ask(part: Part, done: int, total: int) -> Mapping[str, str]:
        asked.append((part.prefixes, done, total))
        again = len(asked) > 2
        found = {written: DAMAGED, rotten: DAMAGED}
        if again:
            return {rotten: DAMAGED, "sha256:new": DAMAGED}
        return {each: why for each, why in found.items() if each[7:9] in part.prefixes}

    assert hash_in_parts(reading, None, ask) == {rotten: DAMAGED}
    assert asked == [(("00",), 0, 120), (("01",), 60, 120), (("00", "01"), 120, 120)]
