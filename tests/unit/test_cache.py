"""The bench's locks also work between threads, whether or not gevent has patched them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TWO_THREADS = """\
import threading, time
from tests.bench.cache import locked

def hold():
    with locked("x"):
        print("in", flush=True)
        time.sleep(0.05)
        print("out", flush=True)

threads = [threading.Thread(target=hold) for _ in range(2)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


@pytest.mark.parametrize("before", ["", "import pyinfra_cli\n"], ids=["threads", "gevent's threads"])
def test_threads_wait_for_each_other(before: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", before + TWO_THREADS], cwd=Path(__file__).parents[2],
        env={"XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == ["in", "out"] * 2
