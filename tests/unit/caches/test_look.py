"""The caches' own look at what they have: a blob that is whole is compared with its digest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.registry import cache
from tasks.remote.templates import environment
from tasks.run.context import ROOT
from tests.unit.caches import files

LAYER = b"\r\n\r\nKEY: x\n" + bytes(range(256)) * 100
"""Seven pieces of 4,096 bytes."""

NAME = files.digest(LAYER)


def look(folder: Path, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the functions of the look."""
    places = {"STORAGE": folder, "CONFIG": cache.CONFIG, "PIECE": 4096}
    text = environment(str(ROOT / "templates")).get_template("cache/check.sh").render(cache=places, bundle="")
    functions, _, _ = text.partition("\nrenice ")
    return subprocess.run(["sh", "-c", f"{functions}\n{command}"], capture_output=True, check=False)


def settle(folder: Path) -> tuple[int, int]:
    """Return the exit code for the blob, and how many pieces are left."""
    done = look(folder, f"settle docker.io blob {NAME} {len(LAYER)}")
    return done.returncode, len([each for each in folder.rglob("*") if each.is_file()])


def test_the_content_begins_after_the_headers_whatever_the_binary_head_has(tmp_path: Path) -> None:
    (path,) = files.put_blob(tmp_path, "docker.io", LAYER)
    assert look(tmp_path, f"content {tmp_path}/{path}").stdout == LAYER


def test_a_blob_that_is_what_its_digest_says_stays(tmp_path: Path) -> None:
    pieces = files.put_blob(tmp_path, "docker.io", LAYER, 4096)
    described = look(tmp_path, f"describe {tmp_path}/{pieces[1]}").stdout.decode()
    assert described.split() == ["docker.io", "blob", NAME, str(len(LAYER))]
    assert settle(tmp_path) == (0, 7)


@pytest.mark.parametrize("where", [0, 3, -1])
def test_a_damaged_blob_goes_with_all_its_pieces(tmp_path: Path, where: int) -> None:
    path = tmp_path / files.put_blob(tmp_path, "docker.io", LAYER, 4096)[where]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert settle(tmp_path) == (0, 0)


def test_a_blob_of_which_a_piece_is_missing_waits(tmp_path: Path) -> None:
    (tmp_path / files.put_blob(tmp_path, "docker.io", LAYER, 4096)[3]).unlink()
    assert settle(tmp_path) == (1, 6)
