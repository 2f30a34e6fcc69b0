"""The virtual environment with Ansible and matplotlib, in pinned versions; it is made once and cached."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.cache import cache, locked

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def make_environment() -> Path:
    """Return the environment's folder; make it if it is missing or the requirements have changed."""
    key = hashlib.sha256(sys.version.encode() + REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache() / f"benchmarks-{key}"
    done = folder / "done"
    with locked("benchmarks"):
        if not done.exists():
            print("installing Ansible and matplotlib (about a minute) ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run(
                [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check",
                 "--require-hashes", "-r", str(REQUIREMENTS)],
                check=True,
            )  # fmt: skip
            done.touch()
    return folder


def version(folder: Path, package: str) -> str:
    """Return the version of a package in the environment."""
    script = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run(
        [str(folder / "bin/python"), "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()


def draw(script: Path, figures: Path, plot: Path) -> None:
    """Run a script that draws a plot of figures with matplotlib."""
    subprocess.run([str(make_environment() / "bin/python"), str(script), str(figures), str(plot)], check=True)
