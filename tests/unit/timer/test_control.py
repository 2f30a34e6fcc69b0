"""`make timer` and `make timer-off`: what stops them, and what later runs say about the timer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tasks.timer import control, deployment, status, systemd, units
from tests import printed
from tests.unit.timer.test_units import TEMPLATES, in_folder, make_deployment, project


def test_without_systemd_one_line_says_what_to_use_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "FOLDER", tmp_path / "none")
    for action in ("on", "off"):
        assert control.main([action, "inventories/local.py"]) == 1
        _, headline, line = capsys.readouterr().err.splitlines()
        assert headline == "Not finished:"
        assert line.startswith("  this machine does not run systemd, so it has no timers; use cron, ")
        assert line.endswith(f"cd {ROOT} && .venv/bin/pyinfra -y inventories/local.py deploy.py")


def test_a_program_that_cannot_be_executed_stops_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "FOLDER", tmp_path)
    monkeypatch.setattr(control, "timer_for", lambda _: in_folder(tmp_path))
    monkeypatch.setattr(
        deployment, "_read_settings", lambda _: Settings(registry_timer_program="/etc/passwd")
    )
    assert control.main(["on", "lab.py"]) == 1
    assert "registry_timer_program = /etc/passwd: it cannot be executed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fake_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """systemd and an inventory that do what they should, with the timer's files in a folder."""
    timer = in_folder(tmp_path)
    monkeypatch.setattr(systemd, "FOLDER", tmp_path)
    monkeypatch.setattr(control, "timer_for", lambda _: timer)
    monkeypatch.setattr(deployment, "_read_settings", lambda _: Settings(registry_state_dir="state/lab"))
    monkeypatch.setattr(systemd, "systemctl", lambda *_: subprocess.CompletedProcess([], 0, "", ""))
    for name in ("lingers", "wait_for_user_manager", "enable"):
        monkeypatch.setattr(systemd, name, lambda *_: True)
    monkeypatch.setattr(systemd, "start", lambda _: timer.succeeded.touch())
    return tmp_path


def test_its_steps_are_printed_as_a_run_prints_its_own(
    fake_systemd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert control.main(["on", "lab.py"]) == 0
    found = capsys.readouterr()
    timer = in_folder(fake_systemd)
    paths = [timer.script, *(timer.units / unit for unit in (timer.notice, timer.service, timer.timer))]
    assert printed.steps(found.err, "controller") == [
        *(f"write {path}: it is missing" for path in paths),
        f"enable {timer.timer}: it is not enabled, ",
        f"run {timer.service} once: the timer will run it so, without a terminal",
    ]
    assert "\nThe timer is on: its last run, " in found.err
    assert found.out == ""
    assert control.main(["off", "lab.py"]) == 0
    removed = printed.steps(capsys.readouterr().err, "controller")
    assert removed[0] == f"disable {timer.timer}"
    assert f"remove {timer.units / timer.service}" in removed


def test_a_run_that_fails_is_a_failed_step_with_its_report_below(
    fake_systemd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    timer = in_folder(fake_systemd)

    def fail(_: object) -> None:
        timer.failed.write_text("The timer's run failed.\n    [nas] port 443 is taken\n")
        raise Conflict("it failed", "see the journal")

    monkeypatch.setattr(systemd, "start", fail)
    assert control.main(["on", "lab.py"]) == 1
    found = capsys.readouterr().err
    assert printed.failed(found, "controller") == [
        f"run {timer.service} once: the timer will run it so, without a terminal"
    ]
    assert found.partition("\nThe timer is on, but its run failed:\n")[2].splitlines()[:2] == [
        "  The timer's run failed.",
        "      [nas] port 443 is taken",
    ]


def test_a_later_run_reports_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timer = in_folder(tmp_path)
    monkeypatch.setattr(status, "timer_for", lambda _: timer)
    assert status.find_problem("lab.py") is None
    timer.folder.mkdir()
    timer.failed.write_text("The timer's run of 2026-11-27 03:12 on pi for lab.py failed.\n    [nas] why\n")
    assert status.find_problem("lab.py") == (
        f"The timer's run of 2026-11-27 03:12 on pi for lab.py failed: see {timer.failed}; "
        "fix that, then run make timer"
    )


def test_a_later_run_reports_a_timer_that_is_not_active(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timer = in_folder(tmp_path)
    monkeypatch.setattr(status, "timer_for", lambda _: timer)
    monkeypatch.setattr(systemd, "LINGER", tmp_path / "nobody")
    timer.units.mkdir()
    (timer.units / timer.timer).touch()
    assert status.find_problem("lab.py") == (
        "the timer homelab-registry@lab.timer exists but is not active; run make timer"
    )


def test_another_projects_timer_is_left_alone_while_that_project_exists(tmp_path: Path) -> None:
    other = project(tmp_path / "other", "true")
    timer, mine = in_folder(tmp_path), make_deployment(tmp_path / "mine")
    text = units.render(timer, make_deployment(other), TEMPLATES)[timer.script]
    with pytest.raises(Conflict, match=r"exists already, for the project in .*/other"):
        deployment.check_not_foreign(timer, mine, text)
    shutil.rmtree(other)
    deployment.check_not_foreign(timer, mine, text)


def test_the_timer_of_another_inventory_of_that_name_is_left_alone(tmp_path: Path) -> None:
    folder = project(tmp_path / "lab", "true")
    other = tmp_path / "home/inventories/lab.py"
    other.parent.mkdir(parents=True)
    (folder / "inventories").mkdir(exist_ok=True)
    (folder / "inventories/lab.py").touch()
    timer, mine = in_folder(tmp_path), make_deployment(folder)
    for inventory in ("inventories/lab.py", f"{folder}/inventories/lab.py"):  # two spellings of the same one
        text = units.render(timer, make_deployment(folder, inventory=inventory), TEMPLATES)[timer.script]
        deployment.check_not_foreign(timer, mine, text)
    text = units.render(timer, make_deployment(folder, inventory=str(other)), TEMPLATES)[timer.script]
    deployment.check_not_foreign(timer, mine, text)  # it is gone
    other.touch()
    with pytest.raises(Conflict) as stop:
        deployment.check_not_foreign(timer, mine, text)
    assert str(stop.value) == (
        f"{timer.timer} exists already, for {other}; rename this inventory, or remove that timer first: "
        f"make timer-off INVENTORY={other}"
    )


@pytest.mark.parametrize(
    ("spelling", "inventory"),
    [
        ("{home}/inventories/lab.py", "{home}/inventories/lab.py"),
        ("../home/inventories/lab.py", "{home}/inventories/lab.py"),
        ("inventories/lab.py", "inventories/lab.py"),
        ("{project}/../project/inventories/lab.py", "inventories/lab.py"),
    ],
)
def test_the_units_have_an_inventory_outside_of_the_project_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str, inventory: str
) -> None:
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr(deployment, "ROOT", folder)
    monkeypatch.setattr(deployment, "_read_settings", lambda _: Settings(registry_state_dir="state/lab"))
    monkeypatch.chdir(folder)
    found = deployment.read_deployment(spelling.format(home=home, project=folder))
    assert found.inventory == inventory.format(home=home)


def test_a_state_in_its_former_place_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "FOLDER", tmp_path)
    monkeypatch.setattr(control, "timer_for", lambda _: in_folder(tmp_path))
    monkeypatch.setattr(deployment, "ROOT", tmp_path / "project")
    monkeypatch.setattr(deployment, "_read_settings", lambda _: Settings(registry_state_dir="state/lab"))
    (tmp_path / "project/state/lab/authorities").mkdir(parents=True)
    assert control.main(["on", f"{tmp_path}/home/inventories/lab.py"]) == 1
    assert f" belongs into {tmp_path}/home/state/lab, and is in " in capsys.readouterr().err
