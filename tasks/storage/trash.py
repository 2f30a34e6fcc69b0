"""Where a collection keeps its marks and its trash: beside the images, on the same disk. Root alone writes there."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pyinfra.api.facts import FactBase

from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.storage.collection import Plan, Trash
from tasks.storage.stored import blob_path

FOLDER = ".homelab-registry.collection"
"""Our folder in that of the images."""

TOLD = f"{FOLDER}/told"
"""What whoever pushes is told to be absent: a file for each digest, named by its hex digits. It holds in a folder that
is named after the present thousand seconds since 1970, and so ends by itself if a run is killed.
"""

LEASE = 1000
"""Seconds. What is told to be absent is so for this long at least, and for twice as long at most."""

SEEN = 10
"""Seconds. Who was told before that something is there, and has nothing else to push, is done by then."""

LINKED = 3
"""Seconds. A registry that saw a blob just before it was moved has made its link to it by then."""

EMPTY_MINUTES = 60
"""How long a folder must have been empty: the registry makes one, and then writes into it."""


@fail_host_on_bad_output
class TrashFact(FactBase[Trash]):
    """One round trip."""

    def command(self, folder: str) -> str:
        """Return the script that reads what collections left in the images' `folder`."""
        return script(
            f"""
own={shlex.quote(f"{folder}/{FOLDER}")}
if [ -d "$own/trash" ]; then
    find "$own/condemned" -type f -printf 'condemned|%f|%T@\\n' || exit 1
    find "$own/trash" -mindepth 1 -maxdepth 1 -type d -printf 'pass|%f\\n' || exit 1
    find "$own/trash" -mindepth 2 -type f -printf 'trashed|%s|%P\\n' || exit 1
fi
"""
        )

    def process(self, output: list[str]) -> Trash:
        """Read the answer; `FactProcessError` if it is not whole."""
        answer = read_answer(output)
        passes: dict[int, set[str]] = {int(time): set() for (time,) in answer.all("pass")}
        sizes = dict.fromkeys(passes, 0)
        for size, *fields in answer.all("trashed"):
            time, _, path = "|".join(fields).partition("/")
            passes[int(time)].add(path)
            sizes[int(time)] += int(size)
        return Trash(
            {digest: int(time.partition(".")[0]) for digest, time in answer.all("condemned")},
            {time: frozenset(paths) for time, paths in passes.items()},
            sizes,
        )


def condemn(plan: Plan) -> list[str]:
    """Return the lines for `files/collect.sh` that keep what is condemned."""
    return [*_lines("spare", plan.spare), *_lines("condemn", plan.condemn)]


def tell(plan: Plan, seconds: int = SEEN) -> list[str]:
    """Return the lines that have whoever pushes told that what is ready is absent."""
    return ["begin", *_lines("tell", plan.ready), "publish", f"wait {seconds}"]


def move(plan: Plan, told: frozenset[str], seconds: int = LINKED) -> list[str]:
    """Return the lines that move what is ready, and was told absent, into the trash."""
    moved = _lines("move", map(blob_path, plan.ready & told))
    return [*_lines("spare", plan.spare), *moved, f"wait {seconds}"]


def give_back(plan: Plan) -> list[str]:
    """Return the lines that give back what is needed."""
    return [f"back {time} {path}" for time, path in plan.give_back]


def finish(plan: Plan) -> list[str]:
    """Return the lines that end a pass: links to what is gone, what was long enough in the trash, empty folders."""
    return [
        *_lines("unlink", plan.unlink),
        *_lines("delete", map(str, plan.delete)),
        *_lines("spare", plan.spare),
        f"end {EMPTY_MINUTES}",
    ]


def _lines(verb: str, things: Iterable[str]) -> list[str]:
    return [f"{verb} {each}" for each in sorted(things)]
