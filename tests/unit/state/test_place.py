"""Where the state of an inventory is."""

from __future__ import annotations

import errno
import getpass
import os
from pathlib import Path

import pytest

from tasks.state.files import StateError
from tasks.state.place import describe, store_of


@pytest.mark.parametrize(
    ("inventory", "state_dir", "folder"),
    [
        ("project/inventories/yours.py", "state/yours", "project/state/yours"),
        ("project/lab/yours.py", "state/yours", "project/state/yours"),
        ("home/inventories/yours.py", "state/yours", "home/state/yours"),
        ("project/../home/inventories/yours.py", "state/yours", "home/state/yours"),
        ("home/lab/yours.py", "state/yours", "home/lab/state/yours"),
        ("home/inventories/yours.py", "keys", "home/keys"),
        ("home/inventories/yours.py", "/srv/keys", "/srv/keys"),
        ("link/inventories/yours.py", "state/yours", "project/state/yours"),
        ("project/inventories/mine/yours.py", "state/yours", "project/state/yours"),
    ],
)
def test_the_state_is_beside_the_inventories(
    tmp_path: Path, inventory: str, state_dir: str, folder: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    found = store_of(str(tmp_path / inventory), state_dir, tmp_path / "project")
    assert found.folder == tmp_path / folder


def test_inventories_that_a_link_in_the_project_leads_to_keep_their_state_there(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "project/inventories").symlink_to(tmp_path / "home")
    inventory = str(tmp_path / "project/inventories/yours.py")
    assert store_of(inventory, "state/yours", tmp_path / "project").folder == tmp_path / "project/state/yours"


def test_a_relative_path_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_of("lab.py", "state/lab", tmp_path / "project").folder == tmp_path / "state/lab"


def begin(folder: Path) -> None:
    (folder / "authorities").mkdir(parents=True)


def test_a_state_in_its_former_place_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    project, inventory = tmp_path / "project", f"{tmp_path}/home/inventories/yours.py"
    begin(project / "state/yours")
    old, new = f"{project}/state/yours", f"{tmp_path}/home/state/yours"
    with pytest.raises(StateError) as stop:
        store_of(inventory, "state/yours", project)
    assert str(stop.value) == (
        f"the state of {inventory} belongs into {new}, and is in {old}; "
        f"mkdir -p {tmp_path}/home/state && mv -T {old} {new}, and run again"
    )
    (project / "inventories").mkdir()
    (project / "inventories/yours.py").touch()
    with pytest.raises(StateError) as stop:
        store_of(inventory, "state/yours", project)
    assert str(stop.value).endswith(
        f", and run again; or if that is the state of {project}/inventories/yours.py, rename this inventory"
    )


@pytest.mark.parametrize("state_dir", ["state/yours", "/nowhere/keys"])
def test_a_state_in_its_own_place_is_used_whatever_is_in_the_other(tmp_path: Path, state_dir: str) -> None:
    project, inventory = tmp_path / "project", f"{tmp_path}/home/inventories/yours.py"
    begin(project / "state/yours")
    begin(tmp_path / "home/state/yours")
    assert store_of(inventory, state_dir, project).folder == tmp_path / "home" / state_dir


def test_a_password_of_ones_own_alone_is_no_state(tmp_path: Path) -> None:
    project, inventory = tmp_path / "project", f"{tmp_path}/home/inventories/yours.py"
    (tmp_path / "home/state/yours/accounts").mkdir(parents=True)
    assert store_of(inventory, "state/yours", project).folder == tmp_path / "home/state/yours"
    begin(project / "state/yours")
    with pytest.raises(StateError, match="belongs into"):
        store_of(inventory, "state/yours", project)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (
            errno.EACCES,
            "run as the user who owns the state, or if a run with sudo made it: "
            f"sudo chown -R {getpass.getuser()}: '/home/me/my state'",
        ),
        (errno.EROFS, "choose another registry_state_dir"),
    ],
)
def test_a_folder_that_cannot_be_used_is_said_with_what_to_do(code: int, remedy: str) -> None:
    folder, why = Path("/home/me/my state"), os.strerror(code)
    assert describe(OSError(code, why), folder) == f"{folder} cannot be used: {why}; {remedy}"
