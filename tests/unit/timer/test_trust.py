"""What root's timer may run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tasks.remote.steps import Conflict
from tasks.timer import trust, units
from tasks.timer.units import Timer
from tests.unit.timer.test_units import TEMPLATES, in_folder, make_deployment, project, sh

FILE, FOLDER, LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK


def found(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("what", "is_parent", "why"),
    [
        (found(FILE | 0o644), False, None),
        (found(FILE | 0o664), False, None),  # root's own group
        (found(FILE | 0o664, gid=100), False, "can be written by others (mode 0664)"),
        (found(FILE | 0o666), False, "can be written by others (mode 0666)"),
        (found(FILE | 0o600, uid=1000), False, "belongs to the user 1000"),
        (found(LINK | 0o777), False, None),
        (found(LINK | 0o777, uid=1000), False, "belongs to the user 1000"),
        (found(FOLDER | 0o1777), True, None),  # as /tmp
        (found(FOLDER | 0o1777), False, "can be written by others (mode 1777)"),
        (found(FOLDER | 0o777), True, "can be written by others (mode 0777)"),
        (found(FOLDER | 0o755, uid=1000), True, "belongs to the user 1000"),
    ],
)
def test_who_but_root_can_change_it(what: os.stat_result, is_parent: bool, why: str | None) -> None:
    assert trust.changeable(what, is_parent=is_parent) == why


@pytest.mark.parametrize(
    "name", ["deploy.py", "tasks/x.py", ".venv/bin/python", "../lab.py", "../group_data/all.py", "../program"]
)
def test_one_file_of_another_user_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = project(tmp_path / "lab", "true")
    (folder / ".git").mkdir()
    for each in ("tasks/x.py", "../lab.py", "../group_data/all.py", "../program"):
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).touch()
    asked = make_deployment(folder, program=str(tmp_path / "program"))
    foreign = [(folder / ".git").stat().st_ino]
    monkeypatch.setattr(
        trust,
        "changeable",
        lambda found, **_: "belongs to the user 1000" if found.st_ino in foreign else None,
    )
    trust.check(asked, tmp_path / "lab.py")
    foreign.append((folder / name).stat().st_ino)
    with pytest.raises(Conflict) as stop:
        trust.check(asked, tmp_path / "lab.py")
    assert stop.value.problem.startswith(f"the timer would run {folder} as root, and ")
    assert stop.value.problem.endswith(f"/{Path(name).name} belongs to the user 1000")
    assert f"chown -R root: {folder}" in stop.value.remedy


@pytest.mark.parametrize("name", ["lab/deploy.py", "home/lab.py", "home/group_data/lab.py"])
def test_the_script_of_root_looks_before_each_run_and_that_of_a_user_does_not(
    tmp_path: Path, name: str
) -> None:
    folder = project(tmp_path / "lab", f"touch {tmp_path}/ran")
    (tmp_path / "home/group_data").mkdir(parents=True)
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o666)
    made = make_deployment(folder, inventory=f"{tmp_path}/home/lab.py")
    for system in (True, False):
        timer = Timer("lab", system, tmp_path / "units", in_folder(tmp_path).folder)
        timer.folder.mkdir(exist_ok=True)
        timer.script.write_text(units.render(timer, made, TEMPLATES)[timer.script])
        ran = sh(timer.script, "run", tmp_path)
        assert (f"{tmp_path / name} can be changed by others than root" in ran.stdout) is system
        assert (tmp_path / "ran").exists() is not system
