"""Runs of pyinfra's command line, without a terminal, on hosts that are fake.

They share what pyinfra and the libraries are. Our own modules are imported by each run, as they are by a user's.
"""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from dataclasses import dataclass

from tests import forks
from tests.forks import ROOT

__all__ = ["ROOT", "Ran", "pyinfra"]

LIBRARIES = ["pyinfra_cli.main", "bcrypt", "cryptography.x509", "jinja2", "pydantic", "yaml"]  # fmt: skip


AT_ONCE = {"PYINFRA_FAKE_DELAY": "0", "PYINFRA_FAKE_DELAY_JITTER": "0"}
"""The environment in which pyinfra's fake hosts answer without a delay."""


@dataclass(frozen=True)
class Ran:
    """A run that has ended; `output` is without colors."""

    exit_code: int
    output: str

    @property
    def refusal(self) -> list[str]:
        """The lines that say why it may not begin."""
        _, _, after = self.output.partition("Not begun:")
        return [line.strip() for line in after.splitlines() if line.strip()]


def pyinfra(*arguments: str) -> Ran:
    """Run the real command line, without a terminal."""
    exit_code, output = forks.run("tests.operations.runs", [*arguments], 120, **AT_ONCE)
    return Ran(exit_code, re.sub(r"\x1b\[[0-9;]*m", "", output))


if __name__ == "__main__":
    for each in LIBRARIES:
        importlib.import_module(each)
    sys.argv = ["pyinfra", *forks.serve()]
    runpy.run_module("pyinfra", run_name="__main__", alter_sys=True)
