"""`make password`: the password alone on standard output, or one line of what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.cli import password
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tasks.state.store import Store

ACCOUNTS = "admin (admin), ci (push), cluster (pull)"


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = Settings(registry_state_dir="state/lab_of_passwords")
    monkeypatch.setattr(password, "_read_settings", lambda _: settings)
    return tmp_path / "inventories/lab_of_passwords.py"


@pytest.mark.parametrize(
    ("account", "line"),
    [
        ("ci", "{state} has no password of ci yet; make deploy INVENTORY={inventory} makes it"),
        ("cI", "there is no account cI; make password ACCOUNT=admin INVENTORY={inventory} (there are: " + ACCOUNTS + ")"),
        ("", "ACCOUNT is missing; make password ACCOUNT=admin INVENTORY={inventory} (there are: " + ACCOUNTS + ")"),
    ],
)  # fmt: skip
def test_without_a_password_one_line_says_what_to_do(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], account: str, line: str
) -> None:
    assert password.main([str(inventory), account]) == 1
    state = tmp_path / "state/lab_of_passwords"
    assert capsys.readouterr() == ("", line.format(inventory=inventory, state=state) + "\n")


def test_a_damaged_file_is_named(inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state/lab_of_passwords/accounts/ci.password"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert password.main([str(inventory), "ci"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path} cannot be used: ")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.cli.password", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_prints_the_password_alone_from_the_state_of_that_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "inventories/lab_of_passwords.py"
    inventory.parent.mkdir()
    inventory.write_text('registry = ["@local"]\n')
    Store(tmp_path / "state/lab_of_passwords").write_password("ci", "a-word-of-mine-0815")
    ran = run(str(inventory), "ci")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a-word-of-mine-0815\n", "")
    inventory.write_text('registry = ["@local"]\nregistry_prot = 1\n')
    ran = run(str(inventory), "ci")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"registry_prot ({inventory}): ")
    assert ran.stderr.count("\n") == 1
