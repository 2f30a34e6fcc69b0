"""The scripts that begin a backup, take what came, and keep it, on a real folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks.backup import scripts
from tasks.backup.generations import MARK, Backup
from tasks.backup.space import Space, read_space

OLD, NEW = "2026-03-01-030000", "2026-03-02-030000"
BLOB = "docker/registry/v2/blobs/sha256/ab/abc/data"
BACKUP = Backup(NEW, "ab", 1, 7, False)


def run(script: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def begin(folder: Path, last: str | None = OLD, *old: str, **environment: str) -> Space:
    done = run(scripts.attempt(scripts.begin(str(folder), last, old, None)), **environment)
    assert done.stderr == ""
    return read_space(done.stdout)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one backup."""
    blob = tmp_path / "b" / OLD / BLOB
    blob.parent.mkdir(parents=True)
    blob.write_text("content")
    (tmp_path / "b" / OLD / MARK).write_text("mark")
    return tmp_path / "b"


def test_a_backup_begins_with_links_to_the_last(folder: Path) -> None:
    space = begin(folder)
    assert (space.links, space.owners, space.there) == (True, True, len("content"))
    assert space.free > 0
    assert (folder / "partial" / BLOB).samefile(folder / OLD / BLOB)
    assert not (folder / "partial" / MARK).exists()
    assert (folder / OLD / MARK).read_text() == "mark"
    assert names(folder) == {OLD, "partial"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_tag_that_moved_within_a_second_is_not_taken_for_the_old_one(folder: Path, killed: bool) -> None:
    tag = "docker/registry/v2/repositories/app/_manifests/tags/v1/current/link"
    for name in (OLD, *(["partial"] if killed else [])):
        (folder / name / tag).parent.mkdir(parents=True)
        (folder / name / tag).write_text("sha256:old")
    begin(folder)
    assert not (folder / "partial" / tag).exists()
    assert (folder / OLD / tag).read_text() == "sha256:old"


def test_the_first_backup_begins_with_nothing(tmp_path: Path) -> None:
    assert begin(tmp_path / "new", None).there == 0
    assert names(tmp_path / "new") == {"partial"}


def test_without_hard_links_nothing_is_copied_to_begin_with(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ln").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/ln").chmod(0o755)
    space = begin(folder, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert (space.links, space.there) == (False, 0)


@pytest.mark.parametrize("left", ["partial", f"{NEW}.arrived"])
def test_what_a_killed_run_left_is_gone_on_with(folder: Path, left: str) -> None:
    (folder / left).mkdir()
    (folder / left / "half").write_text("x")
    (folder / "partial.new").mkdir()
    (folder / "2026-01-01-030000.removed").mkdir()
    begin(folder)
    assert names(folder) == {OLD, "partial"}
    assert names(folder / "partial") == {"half"}


def test_backups_that_are_too_many_go_before_another_needs_their_room(folder: Path) -> None:
    (folder / "2026-02-01-030000").mkdir()
    begin(folder, OLD, "2026-02-01-030000")
    assert names(folder) == {OLD, "partial"}


def arrive_and_seal(folder: Path) -> subprocess.CompletedProcess[str]:
    assert run(scripts.arrive(str(folder), NEW, own=True)).stderr == ""
    return run(scripts.seal(str(folder), BACKUP, [OLD]), BACKUP.text)


def test_what_came_is_kept_and_what_is_too_old_goes(folder: Path) -> None:
    begin(folder)
    assert arrive_and_seal(folder).returncode == 0
    assert names(folder) == {NEW, ".homelab-registry-backups"}
    assert (folder / NEW / BLOB).read_text() == "content"
    assert (folder / NEW / MARK).read_text() == BACKUP.text


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_no_link_that_came_leads_the_mark_elsewhere(folder: Path, tmp_path: Path, kind: str) -> None:
    begin(folder)
    victim = tmp_path / "shadow"
    victim.write_text("theirs")
    mark = folder / "partial" / MARK
    mark.symlink_to(victim) if kind == "symbolic" else mark.hardlink_to(victim)
    assert arrive_and_seal(folder).returncode == 0
    assert victim.read_text() == "theirs"
    assert (folder / NEW / MARK).read_text() == BACKUP.text


def test_a_mark_that_came_half_makes_no_backup_and_removes_none(folder: Path) -> None:
    begin(folder)
    assert run(scripts.arrive(str(folder), NEW, own=True)).returncode == 0
    assert run(scripts.seal(str(folder), BACKUP, [OLD]), BACKUP.text[:10]).returncode == 1
    assert {OLD, f"{NEW}.arrived"} <= names(folder)


def test_nothing_arrives_twice(folder: Path) -> None:
    begin(folder)
    assert run(scripts.arrive(str(folder), NEW, own=True)).returncode == 0
    assert run(scripts.arrive(str(folder), "2026-03-03-030000", own=True)).returncode != 0
    assert (folder / f"{NEW}.arrived" / BLOB).exists()


def test_the_cause_is_said_and_not_what_came_of_it() -> None:
    said = "ssh: connect to host pi port 22: Connection refused\nrsync: connection unexpectedly closed (0 bytes)\n"
    script = f"printf '{said}rsync error: unexplained error (code 255)\\n' >&2; false; echo 12"
    assert (
        run(scripts.attempt(script)).stdout == "failed: ssh: connect to host pi port 22: Connection refused\n"
    )
    assert run(scripts.attempt("echo rsync: connection unexpectedly closed >&2; exit 1")).stdout == (
        "failed: rsync: connection unexpectedly closed\n"
    )
    assert run(scripts.attempt("echo 12")).stdout == "12\n"
