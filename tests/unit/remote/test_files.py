"""The steps are carried out by a real shell on real files; what they say is compared to the letter."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.remote import files
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict, Step

ME = (os.getuid(), os.getgid())


def look(*paths: str) -> dict[str, Observed | None]:
    """What the facts' shell function tells, by another path: Python's own stat."""
    found: dict[str, Observed | None] = {}
    for path in paths:
        if not os.path.lexists(path):
            found[path] = None
            continue
        status = os.lstat(path)
        kind = "directory" if os.path.isdir(path) else "regular file"
        text = None if os.path.isdir(path) else Path(path).read_bytes()
        found[path] = Observed(
            kind, f"{status.st_mode & 0o7777:o}", status.st_uid, status.st_gid, status.st_mtime, status.st_ino,
            hashlib.sha256(text).hexdigest() if text is not None else None,
        )  # fmt: skip
    return found


def take(step: Step, text: str | None = None) -> int:
    """Carry a step out as a host does, with another standard input if given."""
    given = step.stdin if text is None else text
    return subprocess.run(
        ["sh", "-c", step.script], input=given, text=True, check=False, capture_output=True
    ).returncode


@pytest.fixture
def wanted(tmp_path: Path) -> list[Folder]:
    folder = f"{tmp_path}/conf"
    return [Folder(folder, "0700", *ME), File(f"{folder}/a.conf", "0600", *ME, "content\n")]


def steps(wanted: list[Folder]) -> list[Step]:
    return files.place(wanted, look(*(item.path for item in wanted)))


def converge(wanted: list[Folder]) -> list[str]:
    taken = steps(wanted)
    assert [take(step) for step in taken] == [0] * len(taken)
    assert steps(wanted) == []
    return [step.text for step in taken]


def test_what_is_missing_is_made_and_then_nothing_is_left_to_do(wanted: list[Folder]) -> None:
    folder, file = (item.path for item in wanted)
    assert converge(wanted) == [f"make {folder}: it is missing", f"write {file}: it is missing"]
    assert Path(file).read_text() == "content\n"
    assert os.stat(file).st_mode & 0o7777 == 0o600
    assert os.listdir(folder) == ["a.conf"]


def test_each_difference_is_fixed_alone_and_named(wanted: list[Folder]) -> None:
    converge(wanted)
    folder, file = (item.path for item in wanted)
    Path(file).write_text("changed\n")
    assert converge(wanted) == [f"write {file}: its content is not as it should be"]
    os.chmod(file, 0o644)
    assert converge(wanted) == [f"set owner and mode of {file}: its mode is 0644, not 0600"]
    os.chmod(folder, 0o755)
    assert converge(wanted) == [f"set owner and mode of {folder}: its mode is 0755, not 0700"]
    os.unlink(file)
    assert converge(wanted) == [f"write {file}: it is missing"]


def test_another_owner_is_named(wanted: list[Folder]) -> None:
    converge(wanted)
    mine = f"{ME[0]}:{ME[1]}"
    (step,) = steps([wanted[0], replace(wanted[1], owner=12345)])
    assert step.text == f"set owner and mode of {wanted[1].path}: it belongs to {mine}, not 12345:{ME[1]}"


@pytest.mark.parametrize("cut", ["", "cont", "content"])
def test_an_upload_that_was_cut_short_changes_nothing_and_leaves_nothing(
    wanted: list[Folder], cut: str
) -> None:
    converge(wanted)
    new = [wanted[0], File(wanted[1].path, "0600", *ME, "content that is new\n")]
    (step,) = steps(new)
    assert take(step, cut) != 0
    assert Path(wanted[1].path).read_text() == "content\n"
    assert os.listdir(wanted[0].path) == ["a.conf"]


def test_what_a_killed_shell_left_half_written_is_removed(wanted: list[Folder]) -> None:
    converge(wanted)
    left = files.temporary(wanted[1].path)
    Path(left).write_text("half a sec")
    (step,) = files.leftovers(look(wanted[1].path, left))
    assert step.text == f"remove {left}: a run was killed while writing it"
    assert take(step) == 0
    assert os.listdir(wanted[0].path) == ["a.conf"]


def test_a_file_never_has_a_wider_mode_while_it_is_written(wanted: list[Folder]) -> None:
    converge(wanted)
    os.unlink(wanted[1].path)
    (step,) = steps(wanted)
    child = subprocess.Popen(["sh", "-c", "umask 000; " + step.script], stdin=subprocess.PIPE, text=True)
    assert child.stdin
    while not os.path.exists(files.temporary(wanted[1].path)):
        assert child.poll() is None
    assert os.stat(files.temporary(wanted[1].path)).st_mode & 0o777 == 0o600
    child.communicate(step.stdin)
    assert child.returncode == 0


def test_a_folder_in_place_of_a_file_is_a_conflict(wanted: list[Folder]) -> None:
    os.makedirs(wanted[1].path)
    with pytest.raises(
        Conflict, match=r"a\.conf is a directory, but this project keeps a file there"
    ) as stop:
        steps(wanted)
    assert stop.value.remedy == f"move it away (mv {wanted[1].path} {wanted[1].path}.old) and run again"


def test_a_path_that_was_not_requested_is_an_error_in_the_code(wanted: list[Folder]) -> None:
    with pytest.raises(KeyError):
        files.place(wanted, {})


@pytest.mark.parametrize("text", ["", "x", "x\n", "é\n\n", "two\nlines"])
def test_a_text_arrives_to_the_byte_without_the_added_newline(tmp_path: Path, text: str) -> None:
    """pyinfra adds one; a file of the user's may end without."""
    path = tmp_path / "file"
    path.write_text("old")
    for step in (files.rewrite(str(path), text, "x"), files.write_private(str(path), text, "x")):
        done = subprocess.run(["sh", "-c", step.script], input=f"{text}\n", text=True, check=False)
        assert done.returncode == 0
        assert path.read_text() == text
        assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("sent", ["", "half of i"])
def test_half_a_text_is_not_put_into_place(tmp_path: Path, sent: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    for step in (
        files.rewrite(str(path), "half of it", "x"),
        files.write_private(str(path), "half of it", "x"),
    ):
        done = subprocess.run(["sh", "-c", step.script], input=sent, text=True, check=False)
        assert done.returncode != 0
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["file"]


def test_no_repr_shows_a_content() -> None:
    assert "hidden" not in repr(File("/etc/x", content="hidden\n"))
    assert "hidden" not in repr(files.write(File("/etc/x", content="hidden\n"), "it is missing"))


def test_what_was_renamed_or_removed_is_written_to_disk(tmp_path: Path) -> None:
    """A real sync is asked for the file before it has its name, and for the folder afterwards."""
    log, stub = tmp_path / "log", tmp_path / "bin/sync"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$*" "$(ls {tmp_path}/conf)" >> {log}\n')
    stub.chmod(0o755)
    folder = tmp_path / "conf"
    folder.mkdir()
    path = f"{folder}/a"

    def synced(step: Step) -> list[str]:
        log.write_text("")
        path = f"{stub.parent}:{os.environ['PATH']}"
        subprocess.run(["sh", "-c", step.script], input=step.stdin, text=True, check=True, env={"PATH": path})
        return log.read_text().splitlines()

    new = f"{folder}/.a.homelab-new"
    assert synced(files.write(File(path, "0600", *ME, "x"), "")) == [f"{new} ", f"{folder} a"]
    assert synced(files.removal(path, "")) == [f"{folder} "]
    assert synced(files.write_private(path, "x", "")) == [f"{new} ", f"{folder} a"]
    assert synced(files.rewrite(path, "y", "")) == [f"{new} a", f"{folder}/ a"]


def test_where_a_folder_cannot_be_written_to_disk_everything_is(tmp_path: Path) -> None:
    log, stub = tmp_path / "log", tmp_path / "sync"
    stub.write_text(f'#!/bin/sh\necho "all $*" >> {log}\n[ $# -eq 0 ]\n')
    stub.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", files.sync("/a b")], check=True, env={"PATH": path})
    assert log.read_text() == "all /a b\nall \n"


@pytest.mark.parametrize("text", ["a: b\n", "b\udcfcro\n", ""])
def test_a_link_of_the_user_s_stays_and_its_target_is_rewritten(tmp_path: Path, text: str) -> None:
    """As of a configuration that is kept among dotfiles, or in a folder under version control."""
    target, link = tmp_path / "kept/registries.yaml", tmp_path / "k3s/registries.yaml"
    for each in (target, link):
        each.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to("../kept/registries.yaml")
    step = files.rewrite(str(link), text, "why")
    subprocess.run(["sh", "-c", step.script], input=f"{step.stdin}\n".encode(), check=True)
    assert (os.readlink(link), target.read_bytes()) == (
        "../kept/registries.yaml",
        text.encode(errors="surrogateescape"),
    )
    assert target.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in (*target.parent.iterdir(), *link.parent.iterdir())] == [
        "registries.yaml"
    ] * 2
