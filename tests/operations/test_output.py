"""What a run prints, to the line: a first run, one without changes, one that fails, and the document of `--json`."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests import printed
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import STEM, answering_hosts
from tests.operations.test_former_passwords import on_terminal

LOADING = "--> Loading config..."
"""pyinfra prints it before it reads config.py, and so before anything of this project is loaded."""

REFUSED = b64encode(b"Error response from daemon: no basic auth credentials").decode()
TRUSTING = f"""
_answers["emit_text"].insert(0, "daemon|7|{b64encode(b"dockerd").decode()}")
_answers = {{"with_login_file": ["answer|0|ask_docker|1|{REFUSED}", "end"], **_answers}}
registry = [("@fake/nas", {{"fake_responses": _answers}})]
docker_hosts = ["@fake/nas", ("@fake/pi", {{"fake_responses": _answers}})]
"""
"""For an inventory: Docker runs on both hosts, and was refused for want of a login alone."""


def untimed(output: str) -> list[str]:
    """Return the lines of the output, with every time and date replaced."""
    without_steps = re.sub(rf"^(  [+x] .*?){printed.TIME}$", r"\1", output, flags=re.MULTILINE)
    return re.sub(r"\d+(\.\d)? s\b", "N s", re.sub(r"20\d\d-\d\d-\d\d", "DAY", without_steps)).splitlines()


def test_the_end_of_a_first_run(tmp_path: Path) -> None:
    inventory, state = tmp_path / f"{STEM}.py", tmp_path / "state"
    inventory.write_text(answering_hosts() + TRUSTING)
    ran = pyinfra("-y", "--data", f"registry_state_dir={state}", str(inventory), "deploy.py")
    count = len(printed.steps(ran.output))
    assert ran.exit_code == 0, ran.output
    lines = untimed(ran.output)
    assert lines[0] == LOADING
    assert all(line.startswith("  + [@fake/") for line in lines[1 : count + 1])
    assert lines[count + 1 :] == [
        f"Done: {count} changes on 2 of 2 hosts in N s.",
        "",
        "  Registry     https://registry.homelab.local  (192.0.2.10, on @fake/nas)",
        "  Trusted by   @fake/nas, @fake/pi (Docker)",
        "  Certificate  until DAY; the first run after DAY renews it (make timer runs it for you)",
        "  Accounts     admin (everything) · ci (push) · cluster (pull)",
        f"               passwords: {state}/accounts/NAME.password",
        f"  CA           {state}/ca.crt, for machines outside the inventory",
        "  [@fake/nas] the certificate that is served was not checked: install openssl there to have it checked",
        "",
        "Next",
        f"  make verify INVENTORY={inventory}   proves it from every host",
        f"  make timer  INVENTORY={inventory}   keeps it so, every week",
        f"  Back up {state}/ now: it holds the CA's key, and this run made a new one.",
    ]


DEPLOY = """
from pyinfra import host
from pyinfra.api.operation import operation
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import apply_steps
from tasks.run.context import current
from tasks.run.machines import Machine

def steps(run):
    if host.data.get("in_the_way"):
        raise Conflict("a file is in the way", "move it and run again")
    return [Step(*each) for each in host.data.get("steps", [])]

@operation()
def work():
    yield from apply_steps(host, steps, "all is as it should be")

current().machines[host.name] = Machine("root", 0.0, "debian ", "running", True)
current().report.note(host.name, "its disk is old")
work(name="work")
"""
TAKEN = ("write it: it is missing\nrestart it: it was written", "run it")
FAILING = ("make it: it is missing", "run fail")
BROKEN = {"run fail": {"success": False, "stderr": ["first", "No space left on device"]}}
HOSTS: dict[str, dict[str, object]] = {
    "idle": {},
    "working": {"steps": [TAKEN]},
    "failing": {"steps": [TAKEN, FAILING, ("never: not after that", "run it")], "fake_responses": BROKEN},
    "stopped": {"in_the_way": True},
}
REMEDY = "free space there (df -h, df -i) and run again"
PROBLEM = "could not make it: No space left on device"


def arguments(folder: Path, *names: str, **more: object) -> list[str]:
    """Write an inventory of some of the hosts, and a deploy file for them; return both with the state, as arguments."""
    hosts = [(f"@fake/{name}", {**HOSTS[name], **more}) for name in names]
    (folder / f"{STEM}.py").write_text(f"registry = [{hosts[0]!r}]\ndocker_hosts = {hosts!r}\n")
    (folder / "work.py").write_text(DEPLOY)
    return [
        "--data",
        f"registry_state_dir={folder}/state",
        str(folder / f"{STEM}.py"),
        str(folder / "work.py"),
    ]


def run(folder: Path, *names: str, mode: tuple[str, ...] = ("-y",)) -> Ran:
    return pyinfra(*mode, *arguments(folder, *names))


def test_a_run_without_changes_is_a_line_with_its_notes(tmp_path: Path) -> None:
    assert untimed(run(tmp_path, "idle").output) == [
        LOADING, "Nothing to do on 1 host (N s).", "  [@fake/idle] its disk is old"
    ]  # fmt: skip


def test_hosts_without_changes_are_counted(tmp_path: Path) -> None:
    assert untimed(run(tmp_path, "idle", "working").output)[3] == (
        "Done: 2 changes on 1 of 2 hosts in N s; 1 had nothing to do."
    )


def test_with_v_it_says_why(tmp_path: Path) -> None:
    assert "  = [@fake/idle] nothing to do: all is as it should be" in untimed(
        run(tmp_path, "idle", mode=("-y", "-v")).output
    )


def test_a_failure_is_printed_once(tmp_path: Path) -> None:
    ran = run(tmp_path, "idle", "failing", "stopped")
    assert ran.exit_code == 1
    assert untimed(ran.output) == [
        LOADING,
        "  + [@fake/failing] write it: it is missing",
        "  + [@fake/failing] restart it: it was written",
        "  x [@fake/failing] make it: it is missing",
        "2 changes in N s; 1 of 3 hosts finished.",
        "  [@fake/idle, @fake/failing, @fake/stopped] its disk is old",
        "",
        "Not finished:",
        f"  [@fake/failing] {PROBLEM}; {REMEDY}",
        "  [@fake/stopped] a file is in the way; move it and run again",
    ]


def test_when_all_hosts_failed_that_is_all_that_is_said(tmp_path: Path) -> None:
    assert untimed(run(tmp_path, "stopped").output) == [
        LOADING,
        "0 changes in N s; 0 of 1 host finished.",
        "  [@fake/stopped] its disk is old",
        "",
        "Not finished:",
        "  [@fake/stopped] a file is in the way; move it and run again",
    ]


def test_a_step_has_its_time_and_a_line_moves_meanwhile(tmp_path: Path) -> None:
    shown = on_terminal("", "-y", *arguments(tmp_path, "working", fake_delay=1.5, fake_delay_jitter=0.0))
    moving = r"    \[@fake/working\] write it: it is missing … 1 s\r\x1b\[K"
    assert re.search(moving, shown), shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    steps = re.findall(r"  \+ \[@fake/working\] ([^\r]*)\r\n", plain)
    assert steps[0] == "write it: it is missing"
    assert re.fullmatch(r"restart it: it was written \([12](\.\d)? s\)", steps[1]), plain
    assert len(steps) == 2
    assert plain.startswith(f"{LOADING}\r\n\x1b[1A\x1b[2K")


def document(ran: Ran) -> dict[str, Any]:
    """Return the document on standard output; the helper puts standard error after it."""
    found, end = json.JSONDecoder().raw_decode(ran.output)
    assert ran.output[end:].startswith(f"\n{LOADING}\n"), ran.output
    assert isinstance(found, dict)
    return found


def step(what: str, reason: str, outcome: str) -> dict[str, Any]:
    return {"what": what, "reason": reason, "outcome": outcome}


def without_times(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: each[key] for key in ("what", "reason", "outcome")} for each in steps]


def test_the_document_of_a_run(tmp_path: Path) -> None:
    command = arguments(tmp_path, "idle", "failing")
    with (tmp_path / f"{STEM}.py").open("a") as file:
        file.write('cluster_nodes = [("gone", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})]\n')
    ran = pyinfra("-y", "--json", *command)
    assert ran.exit_code == 1
    found = document(ran)
    assert (found["plan"], found["notes"], found["problems"]) == (False, [], [])
    assert found["storage"] == {"text": "", "level": "good", "figures": None}
    assert re.fullmatch(r"2 changes in [\d.]+ s; 1 of 3 hosts finished\.", found["summary"])
    hosts = found["hosts"]
    assert sorted(hosts) == ["@fake/failing", "@fake/idle", "gone"]
    assert hosts["@fake/idle"] == {
        "steps": [], "reasons": ["all is as it should be"], "done": [], "notes": ["its disk is old"], "problems": [],
    }  # fmt: skip
    assert without_times(hosts["@fake/failing"]["steps"]) == [
        step("write it", "it is missing", "taken"),
        step("restart it", "it was written", "taken"),
        step("make it", "it is missing", "failed"),
        step("never", "not after that", "not taken"),
    ]
    assert [each["seconds"] is None for each in hosts["@fake/failing"]["steps"]] == [
        False,
        False,
        False,
        True,
    ]
    assert hosts["@fake/failing"]["problems"] == [{"problem": PROBLEM, "remedy": REMEDY}]
    (problem,) = hosts["gone"]["problems"]
    assert problem["problem"]
    assert problem["remedy"]


@pytest.mark.parametrize("mode", [("--dry", "--json"), ("--json",)])
def test_the_document_of_a_plan(tmp_path: Path, mode: tuple[str, ...]) -> None:
    """Without -y, `--json` takes no step, as pyinfra's own."""
    ran = run(tmp_path, "working", mode=mode)
    found = document(ran)
    assert (ran.exit_code, found["plan"], found["summary"]) == (0, True, "2 steps; nothing was changed.")
    assert without_times(found["hosts"]["@fake/working"]["steps"]) == [
        step("write it", "it is missing", "planned"), step("restart it", "it was written", "planned"),
    ]  # fmt: skip
    assert not (tmp_path / "state").exists()


def test_the_document_of_a_run_that_may_not_begin(tmp_path: Path) -> None:
    command = arguments(tmp_path, "idle")
    ran = pyinfra("-y", "--json", "--data", "registry_port=0", *command)
    found = document(ran)
    assert ran.exit_code == 1
    assert found["hosts"] == {}
    assert found["problems"] == ["registry_port = 0 (--data): must be a port, 1 to 65535"]
    assert ran.refusal == found["problems"]
