"""Read and write the files of the state, each completely or not at all.

A new file is written under a temporary name, synced to disk and then renamed. Files have mode 0600, folders 0700. An
unreadable file is an error; it is never treated as missing.
"""

from __future__ import annotations

import os
from pathlib import Path

from tasks.problem import Problem

RESTORE = "put it back from your backup"

ADOPT = f'{RESTORE}; or, if it is lost, see docs/by-task.md, "The state is lost", for how to start again'


class StateError(Problem):
    """The state is damaged, incomplete or in use."""


class StateFiles:
    """The files in the state's folder and the folders below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: Path, text: str) -> None:
        """Write a file atomically, and make its folder if that is missing."""
        self.make_folder(path.parent)
        self._write_gitignore()
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        new.rename(path)
        sync_folder(path.parent)

    def make_folder(self, folder: Path) -> None:
        """Make a folder if it is missing, and let only its owner read it and those that it is in, up to ours."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (folder, *folder.parents):
            if each.is_relative_to(self.folder):
                each.chmod(0o700)

    def _write_gitignore(self) -> None:
        """Keep the state out of git: its folder may lie in any repository.

        The file is written once: on a full disk, writing it again would leave it empty.
        """
        path = self.folder / ".gitignore"
        if read_text(path) != "*\n":
            path.touch(mode=0o600)
            path.write_text("*\n")


def read_text(path: Path) -> str | None:
    """Return a file's text, or None if it is missing.

    Raise `StateError` if it is not UTF-8, `OSError` if it cannot be read.
    """
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise damaged_file(path, "it is not UTF-8 text", RESTORE) from None


def list_folder(folder: Path) -> list[Path]:
    """Return the paths in a folder, sorted; none if the folder is missing."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a rename in it survives a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged_file(path: Path, error: Exception | str, remedy: str) -> StateError:
    """Return the `StateError` for a file with invalid content; `error` says what is invalid."""
    return StateError(f"{path} is damaged ({first_line(error)})", remedy)


def first_line(error: Exception | str) -> str:
    """Return the first line of an error message, at most 100 characters."""
    return (str(error).splitlines() or ["unreadable"])[0][:100]
