"""The controller's state and its inventory as one encrypted file, which may lie on any host."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tasks.problem import Problem
from tasks.run.context import ROOT
from tasks.state.place import base_folder

HEADER = b"age-encryption.org/v1\n"
"""Begins every file of age (C2SP, age.md)."""


class StateNotEncrypted(Problem):
    """The state could not be encrypted, and so goes nowhere."""


def encrypt(state: Path, inventory: str, recipients: str) -> bytes:
    """Return an archive of the state's folder, the inventory and its group data, that only `recipients` can read.

    `recipients` is the path of a file as `age -R` reads it. `StateNotEncrypted` if there is no age, or no such file.
    Unpacked beside the project's folders, each file is where it was.
    """
    command = ["age", "--encrypt", "-R", recipients]
    try:
        done = subprocess.run(command, input=_archive(state, inventory), capture_output=True, check=False)
    except FileNotFoundError:
        raise StateNotEncrypted(
            "there is no program age on this machine to encrypt the state with",
            "install it (apt-get install age) and run again",
        ) from None
    if done.returncode or not done.stdout.startswith(HEADER):
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it printed nothing"]
        raise StateNotEncrypted(
            f"age could not encrypt the state for {recipients} ({said[0]})",
            "correct registry_backup_recipients and run again",
        )
    return done.stdout


def _archive(state: Path, inventory: str) -> bytes:
    base = base_folder(inventory, ROOT)
    file = Path(inventory).absolute()
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for path in (state, file, *sorted((file.parent / "group_data").glob("*.py"))):
            name = path.relative_to(base) if path.is_relative_to(base) else path.relative_to("/")
            archive.add(path, str(name))
    return written.getvalue()
