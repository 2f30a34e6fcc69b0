"""Carry out a collection on a folder of this machine, or in any other shell, and kill it where a test says so."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.run.context import ROOT
from tasks.storage import trash
from tasks.storage.collection import Plan, Times, Trash, plan
from tasks.storage.facts import StorageFact
from tasks.storage.graph import Root
from tasks.storage.stored import Stored
from tasks.storage.trash import TrashFact

SCRIPT = (ROOT / "files/collect.sh").read_text()
Shell = Callable[[str, str], str]
"""Runs a script with an input, and returns its output."""


def here(script: str, given: str = "") -> str:
    """Run a script on this machine; anything that it complains of fails the test."""
    done = subprocess.run(["sh", "-c", script], input=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def read_trash(folder: Path | str, shell: Shell = here) -> Trash:
    return TrashFact().process(shell(TrashFact().command(str(folder)), "").splitlines())


class KilledError(Exception):
    """The run was killed."""


@dataclass
class Collector:
    """A run. `killed_at` returns how many of the next lines it carries out before it is killed, None if it is not.

    `between` is called before each reading.
    """

    folder: Path | str
    times: Times
    kept: frozenset[Root] = frozenset()
    shell: Shell = here
    seen: int = 0
    linked: int = 0
    killed_at: Callable[[Sequence[str]], int | None] = lambda lines: None
    between: Callable[[str], None] = lambda stage: None
    moved: set[str] = field(default_factory=set)

    def plan(self, stage: str) -> Plan:
        self.between(stage)
        return plan(self.read(), self.kept, read_trash(self.folder, self.shell), self.times)

    def read(self) -> Stored:
        return StorageFact().process(self.shell(StorageFact().command(str(self.folder)), "").splitlines())

    def do(self, lines: Sequence[str]) -> None:
        last = self.killed_at(lines)
        text = "".join(f"{line}\n" for line in lines[:last])
        assert self.shell(f"set -- {shlex.quote(str(self.folder))}\n{SCRIPT}", text) == ""
        if last is not None:
            raise KilledError

    def run(self) -> int:
        """Carry out a whole run, as `tasks/collection/operations.py` does; return how many blobs it moved."""
        first = self.plan("condemn")
        self.do([*trash.condemn(first), *(trash.tell(first, self.seen) if first.ready else ["begin"])])
        if first.ready:
            second = self.plan("move")
            self.moved = set(second.ready & first.ready)
            self.do(trash.move(second, first.ready, self.linked))
        while (last := self.plan("look again")).give_back:
            self.moved -= {f"sha256:{path.split('/')[-2]}" for _, path in last.give_back}
            self.do(trash.give_back(last))
        self.do(trash.finish(last))
        return len(self.moved)
