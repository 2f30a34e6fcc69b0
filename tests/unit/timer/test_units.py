"""The timer's units and script: any name and path is quoted correctly, and each failure is reported as it was printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tasks.run.context import ROOT
from tasks.timer import units
from tasks.timer.units import Deployment, Timer
from tests import pages

TEMPLATES = str(ROOT / "templates")
ODD = 'my lab\'s 100% "$HOME" \\x'


def make_deployment(project: Path, **other: str) -> Deployment:
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
def test_each_inventory_has_its_own_instance_name(stem: str, name: str) -> None:
    assert units.escape(stem) == name
    unescaped = subprocess.run(
        ["systemd-escape", "--unescape", name.replace("-", "\\x2d")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert unescaped.stdout == f"{stem}\n"


def test_root_has_system_units_and_others_user_units(tmp_path: Path) -> None:
    of_root = units.timer_of("inventories/lab.py", 0, Path("/root"))
    assert (of_root.system, of_root.units) == (True, Path("/etc/systemd/system"))
    assert of_root.motd == Path("/etc/motd.d/homelab-registry-lab")
    of_user = units.timer_of("inventories/lab.py", 1000, tmp_path)
    assert (of_user.system, of_user.units) == (False, tmp_path / ".config/systemd/user")
    assert of_user.motd is None
    service = units.render(of_user, make_deployment(tmp_path), TEMPLATES)[of_user.units / of_user.service]
    assert "User=" not in service
    assert "network-online.target" not in service


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("every", ["daily", "weekly", "monthly"])
def test_systemd_accepts_the_units(tmp_path: Path, system: bool, every: str) -> None:
    if shutil.which("systemd-analyze") is None:
        raise AssertionError("this needs systemd-analyze (Debian's package systemd)")
    timer = Timer(units.escape(ODD), system, tmp_path, tmp_path / ODD)
    wanted = make_deployment(tmp_path, inventory=f"/srv/{ODD}.py", every=every)
    for path, text in units.render(timer, wanted, TEMPLATES).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    paths = [str(tmp_path / unit) for unit in timer.all_units]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "homelab" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_a_path_is_quoted_as_one_word_of_a_command() -> None:
    timer = Timer("lab", False, Path("/units"), Path("/home") / ODD)
    service = units.render(timer, make_deployment(Path("/srv")), TEMPLATES)[timer.units / timer.service]
    [command] = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert command == r"""ExecStart=/bin/sh "/home/my lab's 100%% \"$$HOME\" \\x/timer.sh" run"""


def project(folder: Path, pyinfra: str) -> Path:
    """A project's folder with a shell script for `pyinfra`."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "deploy.py").touch()
    for name, text in (("pyinfra", pyinfra), ("python", "exit 0")):
        (folder / ".venv/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def script(folder: Path, wanted: Deployment) -> Path:
    timer = in_folder(folder)
    timer.folder.mkdir()
    timer.script.write_text(units.render(timer, wanted, TEMPLATES)[timer.script])
    return timer.script


def sh(path: Path, verb: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script without wall, which would reach users who are logged in here."""
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
    ("printed", "reported"),
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
def test_the_report_of_a_failure(tmp_path: Path, printed: str, reported: list[str]) -> None:
    (tmp_path / "printed").write_text(printed)
    folder = project(tmp_path / ODD, f"cat {tmp_path}/printed >&2; exit 3")
    made = script(tmp_path, make_deployment(folder))
    ran = sh(made, "run", tmp_path)
    assert ran.returncode == 1
    assert ran.stdout == printed
    assert not in_folder(tmp_path).succeeded.exists()
    assert sh(made, "failed", tmp_path).returncode == 0
    first, *lines, output, remedy = in_folder(tmp_path).failed.read_text().splitlines()
    assert first.endswith(" for inventories/lab.py failed.")
    assert lines == reported
    assert output == f"What it printed: {made.parent}/output"
    assert remedy.endswith("make timer INVENTORY=inventories/lab.py")


def test_the_run_gets_its_arguments_and_its_success_removes_the_report(tmp_path: Path) -> None:
    folder = project(tmp_path / ODD, f'printf "%s|" "$PWD" "$@" > {tmp_path}/given; [ ! -t 0 ]')
    made = script(tmp_path, make_deployment(folder, inventory=f"/srv/{ODD}.py"))
    timer = in_folder(tmp_path)
    timer.failed.write_text("The timer's run failed.\n")
    assert sh(made, "run", tmp_path).returncode == 0
    assert (tmp_path / "given").read_text() == f"{folder}|-y|/srv/{ODD}.py|deploy.py|"
    assert not timer.failed.exists()
    assert timer.succeeded.exists()
    assert (timer.folder / "output").stat().st_mode & 0o077 == 0


def test_a_program_that_fails_makes_the_notice_fail(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", "exit 1")
    made = script(tmp_path, make_deployment(folder, program="/bin/false"))
    sh(made, "run", tmp_path)
    assert sh(made, "failed", tmp_path).returncode == 1
    assert in_folder(tmp_path).failed.exists()


class Receiver(BaseHTTPRequestHandler):
    """What stands for ntfy: it keeps the bodies of PUT requests, which curl sends in chunks."""

    protocol_version = "HTTP/1.1"
    received: ClassVar[list[tuple[str, str]]] = []

    def do_PUT(self) -> None:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.received.append((self.path, body.decode()))
        self.send_response(200)
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_the_program_of_the_page_sends_what_failed(tmp_path: Path) -> None:
    program = tmp_path / "program"
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        text = pages.block("docs/how-it-works.md", "#!/bin/sh")
        program.write_text(
            text.replace("https://ntfy.example", f"http://127.0.0.1:{server.server_port}") + "\n"
        )
        program.chmod(0o755)
        made = script(
            tmp_path, make_deployment(project(tmp_path / "project", "exit 1"), program=str(program))
        )
        sh(made, "run", tmp_path)
        assert sh(made, "failed", tmp_path).returncode == 0
    assert Receiver.received == [("/my-homelab", in_folder(tmp_path).failed.read_text())]


def test_the_script_names_its_project(tmp_path: Path) -> None:
    text = units.render(in_folder(tmp_path), make_deployment(Path("/srv") / ODD), TEMPLATES)
    assert units.project_of(text[in_folder(tmp_path).script]) == Path("/srv") / ODD
    assert units.project_of("") is None


def test_only_files_that_differ_are_written(tmp_path: Path) -> None:
    one, two, three = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    wanted = {one: "a", two: "b", three: "c"}
    assert units.steps(wanted, {one: "a", two: None, three: "C"}) == {
        two: "it is missing",
        three: "its content is not as it should be",
    }
