"""The verbs of the Makefile: which command each is a name for, and what stops them before it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.run.context import ROOT
from tests import pages

PROGRAM = '#!/bin/sh\necho "ran: ${0##*/} $*"\n'
"""Stands for pyinfra and for the Python of `.venv`."""

LAB = "INVENTORY=inventories/lab.py"
ACCOUNT = "registry_rotate_account=ci"
DEPLOYS = {
    "rotate-certificate": "rotate_certificate",
    "rotate-passwords": "rotate_credentials",
    "revoke-passwords": "revoke_credentials",
    "rotate-ca": "rotate_ca",
    "retire-ca": "retire_ca",
    "adopt": "adopt",
    "backup": "backup",
    "restore": "restore",
    "make-room": "make_room",
    "repair": "repair",
    "cache-clear": "cache_clear",
}
COMMANDS = {
    "deploy": "pyinfra -y {} deploy.py",
    "plan": "pyinfra --dry {} deploy.py",
    "verify": "python -m pytest -q tests/verify --inventory {}",
    "timer": "python -m tasks.timer on {}",
    "timer-off": "python -m tasks.timer off {}",
    **{verb: f"pyinfra -y {{}} deploys/{name}.py" for verb, name in DEPLOYS.items()},
}
"""The command of each verb that prints it, for an inventory."""

QUIET = ("password", "status", "workstation")
"""Verbs that print nothing but what was asked for."""

VERBS_OF_PAGES = sorted(
    {
        pages.same(command)
        for _, each in pages.everywhere()
        for command in each.commands
        if command.startswith("make ")
    }
    - {"make test-all", "make bench"}
)
"""The lines with a verb in README.md and docs/. What each runs, other tests run on real hosts."""

COMMANDS_OF_OTHERS = {
    "init": "python -m tasks.init",
    "password": "python -m tasks.cli.password {} ci",
    "status": "python -m tasks.cli.status {}",
    "workstation": "python -m tasks.workstation {}",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the two shipped inventories, whose programs do nothing."""
    folder = tmp_path / "project"
    for name in (".venv/bin", "inventories", "tasks/cli"):
        (folder / name).mkdir(parents=True)
    for name in (
        "Makefile",
        "requirements.txt",
        "tasks/__init__.py",
        "tasks/cli/__init__.py",
        "tasks/cli/which.py",
    ):
        shutil.copy(ROOT / name, folder / name)
    for name in ("local.py", "homelab.py"):
        (folder / "inventories" / name).touch()
    for name in ("pyinfra", "python"):
        (folder / ".venv/bin" / name).write_text(PROGRAM)
        (folder / ".venv/bin" / name).chmod(0o755)
    (folder / ".venv/ready").touch()
    return folder


def make(project: Path, *arguments: str, **environment: str) -> tuple[int, list[str], list[str]]:
    """Run make; return its exit code, the lines of standard output, and those of standard error but make's own."""
    names = ("INVENTORY", "HOME_DIR", "ACCOUNT", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    own = {name: value for name, value in os.environ.items() if name not in names}
    ran = subprocess.run(
        ["make", *arguments],
        cwd=project,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in ran.stderr.splitlines() if not re.match(r"make(\[\d\])?: ", line)]
    return ran.returncode, ran.stdout.splitlines(), errors


def test_every_verb_is_in_one_of_the_tables() -> None:
    listed = re.search(r"^VERBS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed
    assert {*listed[1].replace("\\", "").split()} == {*COMMANDS, *QUIET}


def test_every_verb_prints_its_command_and_runs_it(project: Path) -> None:
    (project / "inventories/lab.py").touch()
    commands = [command.format("inventories/lab.py") for command in COMMANDS.values()]
    printed = [line for command in commands for line in (f".venv/bin/{command}", f"ran: {command}")]
    assert make(project, *COMMANDS, LAB) == (0, printed, [])


@pytest.mark.parametrize("line", VERBS_OF_PAGES)
def test_each_line_of_the_pages_runs_its_command(project: Path, line: str) -> None:
    (project / "inventories/yours.py").touch()
    arguments = shlex.split(line.removeprefix("make ").replace("FOLDER", str(project)))
    code, lines, errors = make(project, *arguments, INVENTORY="inventories/yours.py")
    assert (code, errors) == (0, [])
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    verb = next(each for each in arguments if each in COMMANDS | COMMANDS_OF_OTHERS)
    command = (COMMANDS | COMMANDS_OF_OTHERS)[verb].format("inventories/yours.py")
    keys = {
        "ACCOUNT": "registry_rotate_account=",
        "DATA": "",
        "FROM": "registry_restore=",
        "IMAGE": "registry_cache_clear=",
    }
    if given.pop("DEEP", ""):
        command = command.replace(" -y ", " -y --data registry_repair_deep=true ")
        command = command.replace("tests/verify ", "tests/verify --deep ")
    if given.pop("PLAN", ""):
        command = command.replace(" -y ", " --dry ")
    for name, value in given.items() if verb in {"deploy", *DEPLOYS} else ():
        given_data = "".join(f"--data {keys[name]}{each} " for each in value.split())
        command = command.replace(" -y ", f" -y {given_data}")
    assert f"ran: {command}" in lines


def test_an_exported_inventory_is_that_of_every_verb(project: Path) -> None:
    (project / "inventories/yours.py").touch()
    block = pages.block("README.md", "export INVENTORY=")
    ran = subprocess.run(["sh", "-ec", block], cwd=project, capture_output=True, text=True, check=True)
    commands = [COMMANDS[verb].format("inventories/yours.py") for verb in ("plan", "deploy", "verify")]
    assert [line for line in ran.stdout.splitlines() if line.startswith("ran: ")] == [
        f"ran: {each}" for each in commands
    ]


def test_what_is_cleared(project: Path) -> None:
    given, data = "IMAGE=ghcr.io/a/b:1", "--data registry_cache_clear=ghcr.io/a/b:1"
    command = f"pyinfra -y {data} inventories/local.py deploys/cache_clear.py"
    assert make(project, "cache-clear", given)[1] == [f".venv/bin/{command}", f"ran: {command}"]
    command = "pyinfra --dry inventories/local.py deploys/cache_clear.py"
    assert make(project, "cache-clear", "PLAN=1")[1] == [f".venv/bin/{command}", f"ran: {command}"]


def test_what_is_restored(project: Path) -> None:
    given = ("FROM=pi:latest", "REPOSITORY=apps/web", "OLDER=yes")
    options = "--data registry_restore=pi:latest --data registry_restore_repository=apps/web"
    command = (
        f"pyinfra -y {options} --data registry_restore_older=true inventories/local.py deploys/restore.py"
    )
    assert make(project, "restore", *given)[1] == [f".venv/bin/{command}", f"ran: {command}"]


def test_settings_of_one_run(project: Path) -> None:
    """A variable DATA of the environment is not meant."""
    given = "DATA=registry_today=2026-03-01 registry_excused_hosts=a,b"
    options = "--data registry_today=2026-03-01 --data registry_excused_hosts=a,b"
    assert make(project, "plan", "rotate-ca", "rotate-passwords", given, "ACCOUNT=ci")[1][1::2] == [
        f"ran: pyinfra --dry {options} inventories/local.py deploy.py",
        f"ran: pyinfra -y {options} inventories/local.py deploys/rotate_ca.py",
        f"ran: pyinfra -y {options} --data {ACCOUNT} inventories/local.py deploys/rotate_credentials.py",
    ]
    assert make(project, "deploy", DATA="x")[1][1:] == ["ran: pyinfra -y inventories/local.py deploy.py"]


def test_a_password_is_all_that_standard_output_gets(project: Path) -> None:
    os.utime(project / ".venv/ready", (0, 0))  # so that make has to make it again
    code, lines, _ = make(project, "password", "ACCOUNT=ci", f"PYTHON={project}/.venv/bin/python")
    assert lines[-1:] == ["ran: python -m tasks.cli.password inventories/local.py ci"]
    assert code == 0
    assert len([line for line in lines if "tasks.cli.which" not in line]) == 1


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["status", LAB], "tasks.cli.status inventories/lab.py"),
        (["password", LAB, "ACCOUNT=ci"], "tasks.cli.password inventories/lab.py ci"),
        (["workstation", LAB], "tasks.workstation inventories/lab.py"),
        (["init"], "tasks.init"),
        (["init", "NAME=lab", "HOSTS=registry=nas=a@h docker_hosts=nas"], "tasks.init --name lab registry=nas=a@h docker_hosts=nas"),
        (["init", "KEY=~/.ssh/my lab"], "tasks.init --key ~/.ssh/my lab"),
        (["init", "REGISTRY=a.home.arpa", "HOME_DIR=/h"], "tasks.init --home /h --registry-name a.home.arpa"),
    ],
)  # fmt: skip
def test_what_prints_only_what_was_asked_for(project: Path, arguments: list[str], command: str) -> None:
    """A variable NAME of the environment, as WSL has one, is not meant."""
    (project / "inventories/lab.py").touch()
    assert make(project, *arguments, NAME="DESKTOP-1", KEY="secret") == (0, [f"ran: python -m {command}"], [])


@pytest.mark.parametrize("verb", ["deploy", "password"])
def test_with_inventories_of_ones_own_every_verb_asks_which(project: Path, verb: str) -> None:
    for name in ("lab", "attic", "_shared"):
        (project / f"inventories/{name}.py").touch()
    line = (
        f"which inventory? make {verb} INVENTORY=inventories/attic.py (there are: inventories/attic.py, "
        "inventories/lab.py); export INVENTORY=... spares you that"
    )
    others = {*COMMANDS, *QUIET} - {verb}
    assert make(project, "--keep-going", verb, *others) == (2, [], [line])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["inventory=inventories/lab.py"], "make reads no inventory=; make {} INVENTORY=inventories/lab.py"),
        (["INVENTORIES=mom's lab"], "make reads no INVENTORIES=; make help lists what it reads"),
        ([LAB, "account=ci"], "make reads no account=; make {} ACCOUNT=ci"),
        (["inventories/lab.py"], "inventories/lab.py is no goal of make's; make {} INVENTORY=inventories/lab.py"),
        (["inventories/none.py"], "inventories/none.py is no goal of make's; make {} INVENTORY=inventories/none.py"),
        (["lab"], "make has no goal lab, so {} is not done either; make help lists them"),
        (["HOME_DIR=/nowhere"], "there is no inventory in /nowhere/inventories; make init HOME_DIR=/nowhere writes one"),
    ],
)  # fmt: skip
def test_slips_end_in_one_line_before_anything_runs(project: Path, arguments: list[str], line: str) -> None:
    (project / "inventories/lab.py").touch()
    assert make(project, "timer", *arguments) == (2, [], [line.format("timer")])


@pytest.mark.parametrize(
    ("arguments", "environment", "inventory"),
    [
        ([], {}, "inventories/local.py"),
        (["INVENTORY=inventories/homelab.py"], {}, "inventories/homelab.py"),
        ([], {"INVENTORY": "inventories/homelab.py"}, "inventories/homelab.py"),
        (["INVENTORY=a lab.py"], {}, "a lab.py"),
        (["INVENTORY=my lab's.py"], {}, "my lab's.py"),
        (["INVENTORY=lab's.py"], {}, "lab's.py"),
        (["HOME_DIR={home}", "INVENTORY=inventories/yours.py"], {}, "{home}/inventories/yours.py"),
        (["HOME_DIR=~/homelab", "INVENTORY=inventories/yours.py"], {}, "{home}/inventories/yours.py"),
        (["INVENTORY=inventories/yours.py"], {"HOME_DIR": "{home}"}, "{home}/inventories/yours.py"),
        (["HOME_DIR={home}", "INVENTORY=inventories/local.py"], {}, "inventories/local.py"),
    ],
)
def test_which_inventory_it_is(
    project: Path, tmp_path: Path, arguments: list[str], environment: dict[str, str], inventory: str
) -> None:
    home = tmp_path / "homelab"
    (home / "inventories").mkdir(parents=True)
    (home / "inventories/yours.py").touch()
    given = {name: value.format(home=home) for name, value in environment.items()}
    arguments = [argument.format(home=home) for argument in arguments]
    code, lines, errors = make(project, "plan", *arguments, **given, HOME=str(tmp_path))
    assert (code, errors) == (0, [])
    assert lines[-1] == f"ran: pyinfra --dry {inventory.format(home=home)} deploy.py"


def test_with_a_home_dir_its_inventories_are_the_choice(project: Path, tmp_path: Path) -> None:
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories/local.py").touch()
    (project / "inventories/lab.py").touch()
    code, _, [line] = make(project, "deploy", f"HOME_DIR={tmp_path}")
    own = f"{tmp_path}/inventories/local.py"
    assert code == 2
    assert line.startswith(f"which inventory? make deploy INVENTORY={own} (there are: {own}); ")


OLD_PYTHON = """#!/bin/sh
# Stands for Python 3.10.
shift
exec {python} -c "import sys; sys.version_info = (3, 10, 12); exec(sys.argv[1])" "$@"
"""


@pytest.mark.parametrize(
    ("python", "line"),
    [
        ("{folder}/python", "Python 3.11 or later is needed, this is 3.10; make {goal} PYTHON=python3.11"),
        ("{folder}/none", "there is no {folder}/none here; apt-get install python3, or make {goal} PYTHON=python3.11"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("goal", ["deploy", "plan", "test-unit"])
def test_without_a_venv_the_system_needs_a_python_that_is_new_enough(
    project: Path, tmp_path: Path, goal: str, python: str, line: str
) -> None:
    (project / ".venv/ready").unlink()
    (tmp_path / "python").write_text(OLD_PYTHON.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    code, _, errors = make(project, goal, f"PYTHON={python.format(folder=tmp_path)}")
    assert (code, errors) == (2, [line.format(folder=tmp_path, goal=goal)])


def test_a_venv_whose_python_is_gone_is_made_again(project: Path, tmp_path: Path) -> None:
    """So is that of a project that was moved: the first line of its programs has the former path."""
    shutil.copy(project / ".venv/bin/python", tmp_path / "python")
    (project / ".venv/bin/pyinfra").write_text("#!/usr/lib/python3.9/gone\n")
    _, lines, _ = make(project, "deploy", f"PYTHON={tmp_path}/python")
    assert "ran: python -m venv --clear .venv" in lines


def test_a_venv_that_was_removed_is_made_again(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / ".venv/bin/python", tmp_path / "python")
    subprocess.run(["sh", "-c", pages.in_text("docs/messages.md", "rm -r .venv")], cwd=project, check=True)
    _, lines, _ = make(project, "deploy", f"PYTHON={tmp_path}/python")
    assert "ran: python -m venv .venv" in lines
