"""The newest backup that has a blob whole is found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks.backup.generations import MARK
from tasks.repair.copies import CopiesFact
from tests.stored_folder import StoredFolder, digest

LAYER = b"a layer"
OLD, NEW, PARTIAL = "2026-03-01-030000", "2026-03-02-030000", "2026-03-03-030000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two backups that share their blobs, and one that was not finished."""
    made = tmp_path / "the 'backups'"
    StoredFolder(made / OLD).blob(LAYER)
    subprocess.run(["cp", "-al", str(made / OLD), str(made / NEW)], check=True)
    StoredFolder(made / PARTIAL).blob(LAYER)
    for name in (OLD, NEW):
        (made / name / MARK).touch()
    return made


def copies(folder: Path, *digests: str) -> dict[str, str]:
    command = CopiesFact().command(str(folder), digests)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return dict(CopiesFact().process(done.stdout.splitlines()))


def test_the_newest_that_is_whole(folder: Path) -> None:
    asked = (digest(LAYER), digest(b"gone"))
    assert copies(folder, *asked) == {digest(LAYER): NEW}
    data = StoredFolder(folder / NEW).data(digest(LAYER))
    data.unlink()
    assert copies(folder, *asked) == {digest(LAYER): OLD}
    data.write_bytes(b"A layer")
    assert copies(folder, *asked) == {digest(LAYER): OLD}
    StoredFolder(folder / OLD).data(digest(LAYER)).write_bytes(b"")
    assert copies(folder, *asked) == {}


def test_data_that_backups_share_is_read_once(folder: Path, tmp_path: Path) -> None:
    StoredFolder(folder / OLD).data(digest(LAYER)).write_bytes(b"A layer")
    fake = tmp_path / "bin/sha256sum"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho >> {tmp_path}/read\nexec /usr/bin/sha256sum\n")
    fake.chmod(0o755)
    command = CopiesFact().command(str(folder), [digest(LAYER)])
    path = f"{fake.parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], check=True, env={**os.environ, "PATH": path})
    assert (tmp_path / "read").read_text() == "\n"


def test_no_folder_has_no_backup(tmp_path: Path) -> None:
    assert copies(tmp_path / "none", digest(LAYER)) == {}
