"""What the script says of a folder that is absent, in use, or cannot be read: unknown is never absent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.storage.facts import IMAGES, StorageFact
from tasks.storage.faults import Fault, faults
from tasks.storage.stored import Stored, Upload
from tests.stored_folder import StoredFolder
from tests.unit.storage.reading import answer, read


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    """A folder with one tag of two layers, at a path that a shell would take apart."""
    made = StoredFolder(tmp_path / 'the $(images)\' "folder"')
    made.image("team/app", [b"one", b"two"], "v1")
    return made


def with_program(folder: Path, name: str, script: str, tmp_path: Path) -> list[str]:
    """Run the fact's script with this `sh` script instead of a program; `$real` is that program's path."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / name).write_text(f"#!/bin/sh\nreal={shutil.which(name)}\n{script}\n")
    (programs / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", StorageFact().command(str(folder))],
        env={"PATH": f"{programs}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_folder_in_which_the_registry_never_wrote(tmp_path: Path) -> None:
    assert read(tmp_path) == Stored(0, exists=False)
    assert read(tmp_path / "not there") == Stored(0, exists=False)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to(path)], ids=["a file", "a loop"])
def test_a_path_that_cannot_be_followed_fails_the_fact(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "docker")
    done = subprocess.run(
        ["sh", "-c", StorageFact().command(str(tmp_path))], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert str(tmp_path).encode() in done.stderr


def test_one_tag(folder: StoredFolder) -> None:
    stored = read(folder.path)
    (tag,) = stored.tags
    assert (tag.repository, tag.name, tag.pushed, list(tag.former.values())) == (
        "team/app", "v1", folder.now, [folder.now - 1],
    )  # fmt: skip
    assert tag.digest in stored.repositories["team/app"].manifests
    assert {blob.size for blob in stored.blobs.values()} >= {3}
    assert (len(stored.blobs), len(stored.manifests), stored.problems, faults(stored)) == (4, 1, (), {})


def test_an_answer_that_was_cut_off_anywhere_fails_the_fact(folder: StoredFolder) -> None:
    whole = answer(folder.path)
    for kept in range(len(whole)):
        with pytest.raises(FactProcessError):
            StorageFact().process(whole[:kept])
        with pytest.raises(FactProcessError):
            StorageFact().process([*whole[:kept], *whole[kept + 1 :]])
        shorter = whole[kept][: len(whole[kept]) // 8 * 4]
        with pytest.raises(FactProcessError):
            StorageFact().process([*whole[:kept], shorter, *whole[kept + 1 :]])


@pytest.mark.parametrize("how", ["kill -9 $$", "exit 2"])
@pytest.mark.parametrize("program", ["find", "xargs", "awk", "gzip", "base64", "sed"])
def test_a_program_that_is_stopped_is_no_end_of_what_there_is(
    program: str, how: str, folder: StoredFolder, tmp_path: Path
) -> None:
    with pytest.raises(FactProcessError):
        StorageFact().process(with_program(folder.path, program, how, tmp_path))


def test_nor_is_one_whose_files_are_known(folder: StoredFolder, tmp_path: Path) -> None:
    lines = with_program(folder.path, "grep", "kill -9 $$", tmp_path)
    assert StorageFact().process(lines).problems != ()


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_texts_with_and_without_a_line_feed_at_their_end(end: bytes, tmp_path: Path) -> None:
    """Between two texts is one of `tail`, and after the last is none."""
    folder = StoredFolder(tmp_path)
    for number in range(3):
        folder.manifest("app", b'{"layers": %d}%b' % (number, end), f"v{number}")
        stored = read(folder.path)
        assert (len(stored.tags), faults(stored)) == (number + 1, {})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("find", "find: 'repositories/team': Permission denied"),
        ("grep", "grep: repositories/x/link: Input/output error"),
        ("tail", "tail: error reading 'blobs/sha256/ab/x/data': Input/output error"),
    ],
)
def test_what_cannot_be_read_is_a_problem(
    program: str, said: str, folder: StoredFolder, tmp_path: Path
) -> None:
    lines = with_program(folder.path, program, f'echo "{said}" >&2; exec $real "$@"', tmp_path)
    assert said in StorageFact().process(lines).problems


def test_many_problems_are_cut_short_and_nothing_else_is(folder: StoredFolder, tmp_path: Path) -> None:
    lines = with_program(folder.path, "tail", 'seq 100000 >&2; exec $real "$@"', tmp_path)
    found = StorageFact().process(lines)
    assert (len(found.problems), len(found.manifests)) == (50, 1)


def test_what_vanishes_while_it_is_read_is_absent(folder: StoredFolder, tmp_path: Path) -> None:
    folder.image("other", [b"three"], "v2")
    lines = with_program(folder.path, "tail", 'rm -r "$PWD"/blobs; exec $real "$@"', tmp_path)
    stored = StorageFact().process(lines)
    assert (stored.problems, stored.blobs, stored.manifests) == ((), {}, {})
    assert {tag.name for tag in faults(stored)} == {"v1", "v2"}


def test_a_manifest_whose_data_was_not_read_is_a_problem(folder: StoredFolder, tmp_path: Path) -> None:
    stored = StorageFact().process(with_program(folder.path, "tail", ":", tmp_path))
    assert stored.problems == (f"1 manifests were not read, the first is {stored.tags[0].digest}",)


def test_blobs_without_a_folder_of_repositories_are_a_problem(folder: StoredFolder) -> None:
    shutil.rmtree(folder.repository(""))
    assert read(folder.path).problems == (f"{folder.top}/repositories is missing",)
    folder.repository("").mkdir()
    assert read(folder.path).problems == ()


def test_a_repository_that_was_put_aside_is_a_problem(folder: StoredFolder) -> None:
    (folder.repository("_old")).mkdir()
    folder.repository("team").rename(folder.repository("_old/team"))
    assert (
        "the registry looks for no repository in repositories/_old/team/app/_layers"
        in read(folder.path).problems
    )


def test_symbolic_links_are_followed_as_the_registry_does(folder: StoredFolder, tmp_path: Path) -> None:
    before = read(folder.path)
    for number, path in enumerate([folder.top / "blobs", folder.repository("team/app"), folder.path]):
        path.rename(tmp_path / f"moved-{number}")
        path.symlink_to(tmp_path / f"moved-{number}")
    after = read(folder.path)
    assert (after.repositories, after.blobs) == (before.repositories, before.blobs)


def test_a_tag_that_moves_while_it_is_read_seems_younger_and_not_older(
    folder: StoredFolder, tmp_path: Path
) -> None:
    before = (folder.tag_folder("team/app", "v1") / "current/link").read_text()
    move = """if [ "$2" = -c ] && [ -f "$5" ]; then echo moved > "$5"; touch -d @1800000000 "$5"; fi; exec $real "$@" """
    (tag,) = StorageFact().process(with_program(folder.path, "stat", move, tmp_path)).tags
    assert (tag.digest, tag.pushed) == (before, 1_800_000_000)


def test_half_things_are_told_as_what_they_are(folder: StoredFolder) -> None:
    repository = folder.repository("team/app")
    folder.write(repository / "_uploads/1234/startedat", b"2026-11-29T00:00:00Z")
    folder.write(repository / "_uploads/1234/data", b"x" * 100)
    left = folder.data("sha256:" + "ab" * 32).with_name("data.77.tmp")
    folder.write(left, b"x" * 1000)
    (repository / "_layers/sha256" / ("cd" * 32)).mkdir(parents=True)
    (repository / "_manifests/tags/half").mkdir(parents=True)
    stored = read(folder.path)
    assert stored.uploads == (Upload("team/app", "1234", 120, folder.now - 1),)
    assert {path: blob.size for path, blob in stored.leftovers.items()} == {
        str(left.relative_to(folder.top)): 1000
    }
    assert f"sha256:{'cd' * 32}" not in stored.repositories["team/app"].layers
    half, _ = stored.tags
    assert (half.name, half.digest) == ("half", None)
    assert faults(stored) == {half: (Fault(None, "its link is empty or damaged"),)}


def test_a_tag_whose_link_is_being_written_keeps_all_that_it_had(folder: StoredFolder) -> None:
    """Debian's 2.8 truncates it in place."""
    folder.image("team/app", [b"three"], "v1")
    (folder.tag_folder("team/app", "v1") / "current/link").write_bytes(b"")
    (tag,) = read(folder.path).tags
    assert (tag.digest, len(tag.roots)) == (None, 2)


def test_the_path_is_as_the_registry_has_it(folder: StoredFolder) -> None:
    assert str(folder.top) == f"{folder.path}/{IMAGES}"
