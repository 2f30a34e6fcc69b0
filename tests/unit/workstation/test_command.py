"""`make workstation`: the kit's folder, and what is printed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.settings.load import Settings
from tasks.state.store import Store
from tasks.workstation import command, kit
from tests.unit.workstation.kits import NOW, OLD, TEMPLATES, state


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A state with a finished run."""
    monkeypatch.setattr(command, "_read_settings", lambda _: Settings(registry_state_dir="state/lab_of_kits"))
    store = Store(tmp_path / "state/lab_of_kits")
    store.authorities.write(OLD)
    leaf = state("192.168.1.10").leaf
    assert leaf
    store.write_leaf(leaf)
    return store


def run(store: Store) -> int:
    return command.main([str(store.folder.parents[1] / "inventories/lab_of_kits.py")])


def test_the_kit_is_beside_the_state_and_the_fingerprint_is_printed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store) == 0
    folder = store.folder / "workstation"
    expected = kit.texts(kit.kit(Settings(), store.read(), NOW), TEMPLATES)
    assert {
        str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()
    } == expected
    out, err = capsys.readouterr()
    assert (out.splitlines()[-1], err) == (f"    {OLD.fingerprint}", "")
    assert str(folder) in out


def test_a_second_kit_replaces_the_first_and_leaves_what_is_not_of_it(store: Store) -> None:
    assert run(store) == 0
    folder = store.folder / "workstation"
    (folder / "certs.d/old.homelab.local").mkdir()
    (folder / "notes").write_text("mine")
    assert run(store) == 0
    assert {path.stat().st_mode & 0o777 for path in store.folder.rglob("*") if path.is_dir()} == {0o700}
    assert [path.name for path in (folder / "certs.d").iterdir()] == ["registry.homelab.local"]
    assert (folder / "notes").read_text() == "mine"


def test_without_a_state_one_line_says_what_to_do(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.folder / "leaf.pem").unlink()
    assert run(store) == 1
    inventory = store.folder.parents[1] / "inventories/lab_of_kits.py"
    assert capsys.readouterr() == ("", f"there is no registry yet; make deploy INVENTORY={inventory} first\n")
    assert not (store.folder / "workstation").exists()
