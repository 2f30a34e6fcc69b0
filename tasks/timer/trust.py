"""Whether root alone can change what root's timer runs: else whoever can change it becomes root with the next run.

The script of the timer looks again before each run (templates/timer.sh.j2).
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.remote.steps import Conflict
from tasks.timer.units import Deployment

NOT_RUN = {".git"}
"""Folders of the project that a run neither reads nor executes."""


def check(deployment: Deployment, inventory: Path) -> None:
    """Raise `Conflict` if somebody but root can change the project, the inventory, its group data or the program."""
    outside = [inventory, *([Path(deployment.program)] if deployment.program else [])]
    project, group_data = deployment.project, inventory.parent / "group_data"
    for path in [*_below(project), *_below(group_data), *_with_parents([project, group_data, *outside])]:
        if path == group_data and not path.exists():
            continue
        if why := changeable(path.lstat(), is_parent=path in project.parents):
            raise Conflict(
                f"the timer would run {project} as root, and {path} {why}",
                "run make timer as the user who owns it, without sudo; or give the project to root: "
                f"chown -R root: {shlex.quote(str(project))} && chmod -R go-w {shlex.quote(str(project))}",
            )


def changeable(found: os.stat_result, *, is_parent: bool = False) -> str | None:
    """Return who but root can change a file or folder, as the end of a sentence; None if nobody.

    In a folder above, others may make files if they cannot rename ours (the sticky bit).
    """
    if found.st_uid:
        return f"belongs to the user {found.st_uid}"
    if stat.S_ISLNK(found.st_mode) or (is_parent and found.st_mode & stat.S_ISVTX):
        return None
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid):
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def _below(project: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in NOT_RUN]
        yield from (Path(folder) / name for name in [*folders, *files])


def _with_parents(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (path, *path.parents)
