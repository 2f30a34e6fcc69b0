"""Runs forked from processes that have imported pyinfra and the project already (`traced.py` says how)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRACED = (sys.executable, "-m", "tests.fleet.traced")

_idle: list[subprocess.Popen[str]] = []
"""One for each run that went on at the same time. They end with this process, at the end of their input."""


def run(arguments: list[str], seconds: float = 900) -> tuple[int, str]:
    """Run `traced.py`; return the exit code, negative for a signal, and what it said. `TimeoutError` after a while."""
    try:
        forker = _idle.pop()
    except IndexError:
        pipe = subprocess.PIPE
        forker = subprocess.Popen(TRACED, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, bufsize=1)
    assert forker.stdin is not None
    assert forker.stdout is not None
    with tempfile.NamedTemporaryFile("r") as stdout, tempfile.NamedTemporaryFile("r") as stderr:
        forker.stdin.write(json.dumps([stdout.name, stderr.name, *arguments]) + "\n")
        process = int(forker.stdout.readline())
        if not select.select([forker.stdout], [], [], seconds)[0]:
            os.kill(process, signal.SIGKILL)
            raise TimeoutError(f"a run went on for {seconds} s: {stdout.read()}{stderr.read()}")
        exit_code = int(forker.stdout.readline())
        _idle.append(forker)
        return exit_code, stdout.read() + stderr.read()
