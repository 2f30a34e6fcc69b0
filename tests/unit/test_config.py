"""`config.py`, read by a pyinfra that is not the one in `.venv`: one line says what to run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.forks import ROOT

PROGRAM = "run make .venv/ready here once, and then .venv/bin/pyinfra instead of pyinfra"


@pytest.mark.parametrize(
    ("elsewhere", "line"),
    [
        ("sys.version_info = (3, 10, 12)", f"Python 3.11 or later is needed, this is 3.10; {PROGRAM}"),
        (
            "sys.modules['click'] = None",
            f"This pyinfra ({sys.prefix}) has not what this project needs (import of click halted; None in sys.modules); "
            f"{PROGRAM}",
        ),
    ],
)
def test_what_to_run_instead_is_said_in_one_line(elsewhere: str, line: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, runpy; {elsewhere}; runpy.run_path('config.py')"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"{line}\n")
