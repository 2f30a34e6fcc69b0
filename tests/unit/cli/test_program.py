"""Slips that pyinfra meets before it reads `config.py`: each ends in one line, with nothing connected to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.run.context import ROOT

NOT_OURS = f"is not this project's config.py; run it without --config from its folder: cd {ROOT}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--chdir", "/nowhere", "lab.py", "deploy.py"],
         "--chdir /nowhere: No such file or directory; leave it out in the project's folder"),
        (["--chdir", "{0}", "lab.py", f"{ROOT}/deploy.py"], f"config.py {NOT_OURS}"),
        (["--config", "{0}/bad.py", "lab.py", "deploy.py"], f"{{0}}/bad.py {NOT_OURS}"),
        (["--config", "none.py", "lab.py", "deploy.py"], f"none.py {NOT_OURS}"),
        (["lab.py", "deploy"], "deploy: there is no such deploy file; give deploy.py, or one of deploys/"),
        (["lab.py", "none.py"], "none.py: there is no such deploy file; give deploy.py, or one of deploys/"),
    ],
)  # fmt: skip
def test_each_ends_in_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    (tmp_path / "bad.py").write_text("x = = 1\n")
    command = [
        sys.executable,
        "-m",
        "tasks.cli.program",
        "-y",
        *(each.format(tmp_path) for each in arguments),
    ]
    ran = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout + ran.stderr).replace("--> Loading config...\n", "")
    assert plain.splitlines() == [f"--> pyinfra error: {line.format(tmp_path)}"]
    assert ran.returncode == 1


@pytest.mark.parametrize(
    ("is_there", "lines"),
    [
        (
            True,
            [
                "--> pyinfra error: --chdir /nowhere: No such file or directory; leave it out in the project's folder"
            ],
        ),
        (False, ["FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'"]),
    ],
)
def test_make_has_the_program_begin_there_in_every_version_that_has_it(
    tmp_path: Path, is_there: bool, lines: list[str]
) -> None:
    """With a program as pip writes it, and no other part of that goal."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    if is_there:
        (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    program = tmp_path / ".venv/bin/pyinfra"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pyinfra_cli.main import main\nsys.exit(main())\n"
    )
    for path, text in ((program, None), (program.with_name("python"), "#!/bin/sh\n")):
        path.write_text(text or path.read_text())
        path.chmod(0o755)
    subprocess.run(["make", "-s", ".venv/ready", "PYTHON=true"], cwd=tmp_path, check=True)
    ran = subprocess.run(
        [program, "--chdir", "/nowhere", "lab.py", "deploy.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.stderr)
    assert [line for line in plain.splitlines() if "/nowhere" in line] == lines
