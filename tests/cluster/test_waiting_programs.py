"""The programs in the verification's pods: each waits, on its architecture."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.verify.programs import ARCHITECTURES, WAITING, waiting

EMULATORS = {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"}
WAITS = {"amd64": "pause", "arm64": "ppoll", "arm": "pause"}


def test_there_is_one_for_each_architecture() -> None:
    assert set(WAITING) == set(ARCHITECTURES.values())


@pytest.mark.parametrize("architecture", WAITING)
def test_it_waits_until_it_is_killed(architecture: str, tmp_path: Path) -> None:
    program, said = tmp_path / "waiting", tmp_path / "said"
    program.write_bytes(waiting(architecture))
    program.chmod(0o755)
    command = [EMULATORS[architecture], "-strace", str(program)]
    with said.open("wb") as trace, subprocess.Popen(command, stderr=trace) as process:
        end = time.monotonic() + 20
        while f"{WAITS[architecture]}(" not in said.read_text() and time.monotonic() < end:
            time.sleep(0.05)
        assert process.poll() is None
        calls = [line for line in said.read_text().splitlines() if "execve" not in line]
        process.kill()
    assert len(calls) == 1, calls
    assert f"{WAITS[architecture]}(" in calls[0]
