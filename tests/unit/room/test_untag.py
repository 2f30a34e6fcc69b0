"""Tags are deleted one by one, also while others push: the files are those of the registry, and perl is the host's."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.room import untag
from tasks.room.retention import Decision
from tasks.storage.stored import Tag
from tests.stored_folder import StoredFolder
from tests.unit.room.random_registries import digest

OLD, NEW = digest("an image"), digest("a newer image")
Push = Callable[[str, str], None]


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    return StoredFolder(tmp_path)


def push(folder: StoredFolder, tag: str, pushed: str) -> Tag:
    """Tag a digest as the registry does: first in the tag's history, then as the present one."""
    place = folder.tag_folder("web", tag)
    folder.write(place / "index" / pushed.replace(":", "/") / "link", pushed.encode())
    folder.write(place / "current/link", pushed.encode())
    return Tag("web", tag, pushed, folder.now)


def tags(folder: StoredFolder) -> dict[str, str]:
    return {
        path.parts[-3]: path.read_text()
        for path in folder.repository("web").glob("_manifests/tags/*/current/link")
    }


def start(
    folder: StoredFolder, *chosen: Tag, seconds: int = untag.SECONDS
) -> tuple[list[Decision], subprocess.Popen[str]]:
    decisions = [Decision(tag, True, "old") for tag in chosen]
    step = untag.step(decisions, ["delete"] * len(chosen), str(folder.path), seconds)
    started = subprocess.Popen(
        ["sh", "-c", step.script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdin
    started.stdin.write(step.stdin or "")
    started.stdin.close()
    started.stdin = None
    return decisions, started


def run(folder: StoredFolder, *chosen: Tag, seconds: int = 0) -> str:
    _, started = start(folder, *chosen, seconds=seconds)
    out, errors = started.communicate(timeout=60)
    assert (started.returncode, errors) == (0, "")
    assert list((folder.path / untag.TAKEN).iterdir()) == []
    return out


def taken(folder: StoredFolder) -> Path:
    """Wait until the first tag was renamed away, and return where it is."""
    path, end = folder.path / untag.TAKEN / "0", time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return path


def test_of_twins_one_is_deleted(folder: StoredFolder) -> None:
    chosen = [push(folder, tag, OLD) for tag in ("pr-1", "twin", "pr-2")]
    gone = Tag("web", "gone", OLD, 1)
    assert run(folder, chosen[0], chosen[2], gone) == "gone|2\ndeleted|0\ndeleted|1\n"
    assert tags(folder) == {"twin": OLD}


@pytest.mark.parametrize("pushed", [OLD, NEW], ids=["the same", "another"])
def test_a_push_since_the_decision_keeps_the_tag(folder: StoredFolder, pushed: str) -> None:
    chosen = push(folder, "pr-1", OLD)
    push(folder, "pr-1", pushed)
    assert run(folder, chosen) == "moved|0\n"
    assert tags(folder) == {"pr-1": pushed}


@pytest.mark.parametrize("pushed", [OLD, NEW], ids=["the same", "another"])
def test_what_is_written_to_a_tag_that_was_renamed_is_put_back(folder: StoredFolder, pushed: str) -> None:
    """A push that had the file open, or came between the last look and the rename."""
    decisions, started = start(folder, push(folder, "pr-1", OLD))
    folder.write(taken(folder) / "current/link", pushed.encode())
    out, _ = started.communicate(timeout=60)
    assert (out, tags(folder)) == ("moved|0\n", {"pr-1": pushed})
    assert untag.read_outcome(decisions, out) == [
        "not deleted, since they were pushed again meanwhile: web:pr-1"
    ]


@pytest.mark.parametrize("also", [True, False], ids=["half before", "all after"])
def test_a_tag_that_was_made_anew_stays(folder: StoredFolder, also: bool) -> None:
    _, started = start(folder, push(folder, "pr-1", OLD))
    if also:
        folder.write(taken(folder) / "index" / NEW.replace(":", "/") / "link", NEW.encode())
    taken(folder)
    push(folder, "pr-1", NEW)
    out, _ = started.communicate(timeout=60)
    assert (out, tags(folder)) == ("moved|0\n", {"pr-1": NEW})


@pytest.mark.parametrize("pushed", [False, True])
def test_a_killed_run_is_finished_by_the_next(folder: StoredFolder, pushed: bool) -> None:
    _, started = start(folder, push(folder, "pr-1", OLD))
    place = taken(folder)
    started.kill()
    started.communicate()
    if pushed:
        folder.write(place / "current/link", NEW.encode())
    other = push(folder, "pr-2", OLD)
    assert run(folder, other) == "deleted|0\n"
    assert tags(folder) == ({"pr-1": NEW} if pushed else {})


def test_nothing_that_is_acknowledged_is_lost(folder: StoredFolder) -> None:
    """Tags are pushed without a pause while they are deleted."""
    chosen = [push(folder, f"pr-{number}", OLD) for number in range(40)]
    latest: dict[str, str] = {}
    stop = threading.Event()

    def push_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            tag, pushed = f"pr-{number % 40}", digest(str(number))
            try:
                push(folder, tag, pushed)
            except (
                OSError
            ):  # its folder was renamed between two steps of this push, which is not acknowledged
                latest.pop(tag, None)
            else:
                latest[tag] = pushed

    pushing = threading.Thread(target=push_on)
    pushing.start()
    run(folder, *chosen, seconds=1)
    stop.set()
    pushing.join()
    assert latest
    assert {tag: has for tag, has in tags(folder).items() if tag in latest} == latest


def test_what_cannot_be_renamed_is_an_error(folder: StoredFolder) -> None:
    chosen = push(folder, "pr-1", OLD)
    shutil.rmtree(folder.path / untag.TAKEN, ignore_errors=True)
    (folder.path / untag.TAKEN / "0").mkdir(parents=True)
    (folder.path / untag.TAKEN / "0/file").touch()
    decisions, started = start(folder, chosen)
    out, _ = started.communicate(timeout=60)
    with pytest.raises(ValueError, match=r"^1 of 1 tags were not deleted: web:pr-1 \(.+\)$"):
        untag.read_outcome(decisions, out)
    with pytest.raises(ValueError, match=r"^1 of 1 tags were not deleted: web:pr-1$"):
        untag.read_outcome(decisions, "")
    assert tags(folder) == {"pr-1": OLD}
