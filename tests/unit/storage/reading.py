"""Run the fact's own script on a folder of this machine, and read its answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tasks.storage.facts import StorageFact
from tasks.storage.stored import Stored


def answer(folder: Path) -> list[str]:
    """Return the lines that the script prints; anything on standard error fails the test."""
    done = subprocess.run(
        ["sh", "-c", StorageFact().command(str(folder))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def read(folder: Path) -> Stored:
    return StorageFact().process(answer(folder))
