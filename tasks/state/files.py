"""How files of the state are read and written: whole, or not at all.

Every file is written beside itself, synced and renamed, mode 0600 in folders of mode 0700. One that cannot be read is
never taken as missing.
"""

from __future__ import annotations

import os
from pathlib import Path

from tasks.problem import Problem

RESTORE = "put it back from your backup"


class StateError(Problem):
    """The state cannot be used as it is."""


class Files:
    """The files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: Path, text: str) -> None:
        """Write a file, and the folders that it needs."""
        self.make(path.parent)
        self._keep_git_out()
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        new.rename(path)
        sync(path.parent)

    def make(self, folder: Path) -> None:
        """Make a folder, if it is not there, for one account's eyes."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def _keep_git_out(self) -> None:
        """The folder may stand below any project."""
        (self.folder / ".gitignore").touch(mode=0o600)
        (self.folder / ".gitignore").write_text("*\n")


def read(path: Path) -> str | None:
    """Return a file's text, None where it is missing; `StateError` where it is not text, `OSError` otherwise."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise damaged(path, "it is not text", RESTORE) from None


def within(folder: Path) -> list[Path]:
    """Return what is in a folder, nothing where that is missing."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def sync(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(path: Path, error: Exception | str, remedy: str) -> StateError:
    """Return that a file is not what it should be, in the first line of `error`'s words."""
    return StateError(f"{path} is damaged ({first_line(error)})", remedy)


def first_line(error: Exception | str) -> str:
    """Return what an error says first."""
    return (str(error).splitlines() or ["unreadable"])[0][:100]
