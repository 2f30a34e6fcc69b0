"""What stands in the timer's units and script: names and paths of any kind come out whole, and each failure in its words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tasks.timer import control as tool
from tasks.timer import units as model
from tasks.timer.units import Deployment, Timer

TEMPLATES = str(ROOT / "templates")
ODD = 'my lab\'s 100% "$HOME" \\x'


def deployment(project: Path, **other: str) -> Deployment:
    given = {"inventory": "inventories/lab.py", "every": "weekly", "program": None, **other}
    return Deployment(project=project, **given)  # type: ignore[arg-type]


def in_folder(folder: Path) -> Timer:
    return Timer("lab", False, folder / "units", folder / "ours")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("homelab", "homelab"),
        ("my-lab_2.old", "my-lab_2.old"),
        (".hidden", "\\x2ehidden"),
        ("my lab", "my\\x20lab"),
        ("100%", "100\\x25"),
        ("a\\x20b", "a\\x5cx20b"),
        ("zuhaus\u00e9", "zuhaus\\xc3\\xa9"),
        ("a@b", "a\\x40b"),
    ],
)
def test_an_instance_name_stands_for_one_inventory(stem: str, name: str) -> None:
    assert model.escape(stem) == name
    unescaped = subprocess.run(
        ["systemd-escape", "--unescape", name.replace("-", "\\x2d")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert unescaped.stdout == f"{stem}\n"


def test_root_has_a_unit_of_the_system_and_others_of_their_own(tmp_path: Path) -> None:
    of_root = model.timer("inventories/lab.py", 0, Path("/root"))
    assert (of_root.system, of_root.units) == (True, Path("/etc/systemd/system"))
    assert of_root.motd == Path("/etc/motd.d/homelab-registry-lab")
    of_user = model.timer("inventories/lab.py", 1000, tmp_path)
    assert (of_user.system, of_user.units) == (False, tmp_path / ".config/systemd/user")
    assert of_user.motd is None
    service = model.render(of_user, deployment(tmp_path), TEMPLATES)[of_user.units / of_user.service]
    assert "User=" not in service
    assert "network-online.target" not in service


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("every", ["daily", "weekly", "monthly"])
def test_systemd_reads_the_units(tmp_path: Path, system: bool, every: str) -> None:
    if shutil.which("systemd-analyze") is None:
        raise AssertionError("this needs systemd-analyze (Debian's package systemd)")
    timer = Timer(model.escape(ODD), system, tmp_path, tmp_path / ODD)
    wanted = deployment(tmp_path, inventory=f"/srv/{ODD}.py", every=every)
    for path, text in model.render(timer, wanted, TEMPLATES).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    units = [str(tmp_path / unit) for unit in (timer.timer, timer.service, timer.notice)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "homelab" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_a_path_is_one_word_of_a_command() -> None:
    timer = Timer("lab", False, Path("/units"), Path("/home") / ODD)
    service = model.render(timer, deployment(Path("/srv")), TEMPLATES)[timer.units / timer.service]
    [command] = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert command == r"""ExecStart=/bin/sh "/home/my lab's 100%% \"$$HOME\" \\x/timer.sh" run"""


def project(folder: Path, pyinfra: str) -> Path:
    """A project's folder, in which `pyinfra` is a shell's text."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "deploy.py").touch()
    for name, text in (("pyinfra", pyinfra), ("python", "exit 0")):
        (folder / ".venv/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def script(folder: Path, wanted: Deployment) -> Path:
    timer = in_folder(folder)
    timer.folder.mkdir()
    timer.script.write_text(model.render(timer, wanted, TEMPLATES)[timer.script])
    return timer.script


def sh(path: Path, verb: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script without wall, which would reach who is logged in here."""
    nobody = folder / "nobody"
    nobody.mkdir(exist_ok=True)
    for name in ("wall", "sendmail"):
        (nobody / name).write_text("#!/bin/sh\ncat >/dev/null\n")
        (nobody / name).chmod(0o755)
    environment = {"PATH": f"{nobody}:{os.environ['PATH']}", "MONITOR_SERVICE_RESULT": "timeout"}
    return subprocess.run(
        ["sh", str(path), verb], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "--> Results\n    Not finished:\n        [nas] it is off; switch it on\n    [pi] so is it; the same\n",
            ["    [nas] it is off; switch it on", "    [pi] so is it; the same"],
        ),
        (
            "--> pyinfra error in config.py:\n    registry_prot: unknown key\n",
            ["    registry_prot: unknown key"],
        ),
        ("Traceback: a secret?\n", ["    It ended without saying why (timeout, unknown)."]),
        ("", ["    It ended without saying why (timeout, unknown)."]),
        ("Not finished:\n    [nas] \033[2Jcleared\n", ["    [nas] [2Jcleared"]),
        ("Not finished:\n" + "".join(f"    {n}\n" for n in range(50)), [f"    {n}" for n in range(10)]),
    ],
)
def test_what_is_told_of_a_failure(tmp_path: Path, printed: str, told: list[str]) -> None:
    (tmp_path / "printed").write_text(printed)
    folder = project(tmp_path / ODD, f"cat {tmp_path}/printed >&2; exit 3")
    made = script(tmp_path, deployment(folder))
    ran = sh(made, "run", tmp_path)
    assert ran.returncode == 1
    assert ran.stdout == printed
    assert not in_folder(tmp_path).succeeded.exists()
    assert sh(made, "failed", tmp_path).returncode == 0
    first, *lines, output, remedy = in_folder(tmp_path).failed.read_text().splitlines()
    assert first.endswith(" for inventories/lab.py failed.")
    assert lines == told
    assert output == f"What it printed: {made.parent}/output"
    assert remedy.endswith("make timer INVENTORY=inventories/lab.py")


def test_the_run_is_given_what_it_should_be_and_its_success_ends_the_failure(tmp_path: Path) -> None:
    folder = project(tmp_path / ODD, f'printf "%s|" "$PWD" "$@" > {tmp_path}/given; [ ! -t 0 ]')
    made = script(tmp_path, deployment(folder, inventory=f"/srv/{ODD}.py"))
    timer = in_folder(tmp_path)
    timer.failed.write_text("The timer's run failed.\n")
    assert sh(made, "run", tmp_path).returncode == 0
    assert (tmp_path / "given").read_text() == f"{folder}|-y|/srv/{ODD}.py|deploy.py|"
    assert not timer.failed.exists()
    assert timer.succeeded.exists()
    assert (timer.folder / "output").stat().st_mode & 0o077 == 0


def test_a_program_that_cannot_tell_makes_the_notice_fail(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", "exit 1")
    made = script(tmp_path, deployment(folder, program="/bin/false"))
    sh(made, "run", tmp_path)
    assert sh(made, "failed", tmp_path).returncode == 1
    assert in_folder(tmp_path).failed.exists()


def test_a_script_tells_whose_it_is(tmp_path: Path) -> None:
    text = model.render(in_folder(tmp_path), deployment(Path("/srv") / ODD), TEMPLATES)
    assert model.project_of(text[in_folder(tmp_path).script]) == Path("/srv") / ODD
    assert model.project_of("") is None


def test_only_what_is_off_is_written(tmp_path: Path) -> None:
    one, two, three = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    wanted = {one: "a", two: "b", three: "c"}
    assert model.steps(wanted, {one: "a", two: None, three: "C"}) == {
        two: "it is missing",
        three: "its content is not as it should be",
    }


def test_without_systemd_there_is_one_line_and_what_to_use_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "SYSTEMD", tmp_path / "none")
    for action in ("on", "off"):
        assert tool.main([action, "inventories/local.py"]) == 1
        [line] = capsys.readouterr().out.splitlines()
        assert line.startswith("    systemd does not run this machine, so it has no timers; with cron, ")
        assert line.endswith(f"cd {ROOT} && .venv/bin/pyinfra -y inventories/local.py deploy.py")


def test_a_program_that_cannot_be_run_is_said_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "SYSTEMD", tmp_path)
    monkeypatch.setattr(tool, "timer_for", lambda _: in_folder(tmp_path))
    monkeypatch.setattr(tool, "_settings", lambda _: Settings(registry_timer_program="/etc/passwd"))
    assert tool.main(["on", "lab.py"]) == 1
    assert "registry_timer_program = /etc/passwd: it cannot be run" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_a_later_run_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timer = in_folder(tmp_path)
    monkeypatch.setattr(tool, "timer_for", lambda _: timer)
    assert tool.complaint("lab.py") is None
    timer.folder.mkdir()
    timer.failed.write_text("The timer's run of 2026-11-27 03:12 on pi for lab.py failed.\n    [nas] why\n")
    assert tool.complaint("lab.py") == (
        f"The timer's run of 2026-11-27 03:12 on pi for lab.py failed: see {timer.failed}; "
        "when that is mended, make timer INVENTORY=lab.py tries it again"
    )


def test_another_folders_timer_is_left_alone_while_that_folder_is_there(tmp_path: Path) -> None:
    other = project(tmp_path / "other", "true")
    timer, mine = in_folder(tmp_path), deployment(tmp_path / "mine")
    text = model.render(timer, deployment(other), TEMPLATES)[timer.script]
    with pytest.raises(Conflict, match=r"is there for .*/other"):
        tool._check_project(timer, mine, text)
    shutil.rmtree(other)
    tool._check_project(timer, mine, text)
