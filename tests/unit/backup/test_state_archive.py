"""The state goes along only encrypted."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tasks.backup import state_archive
from tasks.backup.state_archive import StateNotEncrypted

AGE = '#!/bin/sh\n[ "$1 $2 $3" = "--encrypt -R keys" ] || exit 3\nprintf "age-encryption.org/v1\\n"\ncat\n'


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an inventory and its state, and a program in the place of age, which encrypts nothing."""
    for name, text in (("inventories/lab.py", "registry = []"), ("inventories/group_data/lab.py", "x = 1"),
                       ("state/lab/ca.crt", "CA"), ("bin/age", AGE)):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin/age").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def encrypt(lab: Path, recipients: str = "keys") -> bytes:
    return state_archive.encrypt(lab / "state/lab", str(lab / "inventories/lab.py"), recipients)


def test_state_and_inventory_are_in_it_where_they_were(lab: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(encrypt(lab).removeprefix(state_archive.HEADER))) as archive:
        assert {each.name for each in archive if each.isfile()} == {
            "state/lab/ca.crt",
            "inventories/lab.py",
            "inventories/group_data/lab.py",
        }


def test_what_is_not_encrypted_goes_nowhere(lab: Path) -> None:
    (lab / "bin/age").write_text("#!/bin/sh\ncat\n")
    with pytest.raises(StateNotEncrypted, match="could not encrypt the state for keys"):
        encrypt(lab)


def test_no_such_recipients(lab: Path) -> None:
    (lab / "bin/age").write_text("#!/bin/sh\necho 'age: error: no such file' >&2\nexit 1\n")
    with pytest.raises(StateNotEncrypted, match=r"for other \(age: error: no such file\)"):
        encrypt(lab, "other")


def test_there_is_no_age(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(lab / "inventories"))
    with pytest.raises(StateNotEncrypted, match="there is no program age on this machine"):
        encrypt(lab)
