"""Collections of folders that hypothesis draws: with pushes between their steps, and killed after each of them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.storage import trash
from tasks.storage.collection import Times, Trash
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.collecting import Collector, KilledError, read_trash
from tests.unit.storage.random_folders import RandomFolder, Step, steps
from tests.unit.storage.slow_reading import SlowReading
from tests.unit.storage.test_random_folders import ALIKE

AT_ONCE = Times(grace=0, trash=0)
OLD = 1_700_000_000


def needed(slow: SlowReading) -> set[str]:
    """Return what may not be touched: what tags need, all in a repository in use or that does not pull, and what is new."""
    found = {each for each in slow.blobs() if slow.data(each).stat().st_mtime > OLD + 10_000}
    tags = slow.tags()
    broken = {tag[0] for tag in tags if not slow.pulls(tag)}
    for name in slow.repositories():
        links = {kind: slow.links(name, kind) for kind in ("_layers", "_manifests/revisions")}
        ours = [path for path in (slow.folder(name) / "_uploads").rglob("*") if path.is_file()]
        times = [
            *(time for found in links.values() for time in found.values()),
            *(int(p.stat().st_mtime) for p in ours),
        ]
        alone = name in broken or any(each > OLD + 10_000 for each in times)
        for kind, digests in links.items():
            for each, made in digests.items():
                link = slow.folder(name) / kind / each.replace(":", "/") / "link"
                half = len(link.read_bytes()) not in {71, len(each)}
                if alone or half:
                    found |= {each, link.read_text() if len(link.read_text()) == 71 else each}
                new = made > OLD + 10_000
                if kind != "_layers" and (half or new):
                    found |= slow.kept(name, [each])
    return found | slow.kept_by(tags)


@dataclass
class Kill:
    """Kill a run after this many lines."""

    left: int

    def __call__(self, lines: Sequence[str]) -> int | None:
        if len(lines) > self.left:
            return self.left
        self.left -= len(lines)
        return None


def digest_of(path: str) -> str:
    *_, algorithm, value, _ = path.split("/")
    return f"sha256:{value}" if len(algorithm) == 2 else f"{algorithm}:{value}"


def files(folder: Path) -> dict[str, bytes]:
    """Return all that the registry has, by path."""
    top = folder / "docker"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@settings(ALIKE, max_examples=10)
@given(old=steps(), new=st.lists(steps().map(lambda found: found[0]), max_size=2), point=st.integers(0, 30))
def test_what_is_needed_stays_and_all_else_goes(old: list[Step], new: list[Step], point: int) -> None:
    """Also if the run is killed after some step, and run again."""
    with tempfile.TemporaryDirectory() as path:
        folder, killed = Path(path) / "run", Path(path) / "killed"
        drawn = RandomFolder(folder)
        for step in old:
            drawn.do(step)
        drawn.made.now = int(time.time()) - 60
        for step in new:
            drawn.do(step)
        before, kept = files(folder), needed(SlowReading(drawn.made.top))
        shutil.copytree(folder, killed)
        Collector(folder, AT_ONCE).run()
        after = files(folder)
        assert after.items() <= before.items()
        assert {digest_of(gone) for gone in before.keys() - after.keys()}.isdisjoint(kept)
        assert {each for each in after if each.endswith("/data") and digest_of(each) not in kept} == {
            each for each in before if "/_uploads/" in each and each.endswith("/data")
        }
        assert read_trash(folder) == Trash()
        with suppress(KilledError):
            Collector(killed, AT_ONCE, killed_at=Kill(point)).run()
        Collector(killed, AT_ONCE).run()
        assert files(killed) == after


def test_a_run_condemns_and_a_later_one_deletes(tmp_path: Path) -> None:
    made = StoredFolder(tmp_path)
    made.image("app", [b"kept"], "v1")
    (gone,) = [made.layer("app", b"gone")["digest"]]
    week = Times(grace=3600, trash=0)
    assert Collector(tmp_path, week).run() == 0
    assert set(read_trash(tmp_path).condemned) == {gone}
    assert made.data(gone).exists()
    assert Collector(tmp_path, week).run() == 0, "the grace is not over"
    age(tmp_path, 3601)
    assert Collector(tmp_path, week).run() == 1
    assert not made.data(gone).exists()
    assert not made.layer_link("app", gone).exists()
    assert read_trash(tmp_path).condemned == {}


def age(folder: Path, seconds: int) -> None:
    """Let what was condemned be so for longer."""
    for mark in (folder / trash.FOLDER / "condemned").iterdir():
        when = mark.stat().st_mtime - seconds
        os.utime(mark, (when, when))


@pytest.mark.parametrize("stage", ["move", "look again"])
@pytest.mark.parametrize("pushed", ["tagged", "linked", "in an index"])
def test_what_is_pushed_during_a_sweep_stays(tmp_path: Path, stage: str, pushed: str) -> None:
    """Before the second reading; and while it is moved, by a registry that saw the data just before."""
    made = StoredFolder(tmp_path)
    made.image("app", [b"kept"], "v1")
    child = made.image("app", [b"one", b"two"])
    made.image("idle", [b"three"])
    layer = made.layer("other", b"one")

    def push(now: str) -> None:
        if now != stage:
            return
        made.now = int(time.time())
        if pushed == "linked":
            made.write(made.layer_link("app", layer["digest"]), layer["digest"].encode())
        elif pushed == "tagged":
            made.write(made.revision("app", child["digest"]), child["digest"].encode())
            made.write(made.tag_folder("app", "v2") / "current/link", child["digest"].encode())
        else:
            made.index("app", [child], "v2")

    Collector(tmp_path, AT_ONCE, between=push).run()
    slow = SlowReading(made.top)
    assert all(slow.pulls(tag) for tag in slow.tags())
    assert made.data(layer["digest"]).exists()
    assert not made.data(digest(b"three")).exists()
    Collector(tmp_path, AT_ONCE).run()
    assert all(slow.pulls(tag) for tag in slow.tags())
