"""ShellCheck reads the scripts of the workstation kit, with names, ports and addresses of every kind."""

from __future__ import annotations

import subprocess

import pytest

from tests.unit.workstation.kits import SERVED, texts


@pytest.mark.parametrize("script", ["linux.sh", "macos.sh"])
@pytest.mark.parametrize("name", SERVED)
def test_shellcheck_finds_nothing(name: str, script: str) -> None:
    ran = subprocess.run(
        ["shellcheck", "--shell=sh", "-"],
        input=texts(name)[script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "")
