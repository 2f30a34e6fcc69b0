"""Put the project on a host, as after `git clone`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.hosts import BenchHost

ROOT = Path(__file__).parents[2]


def copy_project(host: BenchHost, project: str) -> None:
    """Copy the files that git tracks to the host, as they are in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = subprocess.run(
        ["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=names, capture_output=True, check=True
    ).stdout
    subprocess.run(
        ["docker", "exec", "-i", host.name, "sh", "-c", f"mkdir -p {project} && tar -x --no-same-owner -C {project}"],
        input=archive, check=True,
    )  # fmt: skip
