"""Which hosts are left alone, and what the fact's script finds out, run by sh between commands that are stubs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.remote.steps import Conflict
from tasks.run import machines
from tasks.run.machines import Engine, Machine, MachineFact, Rights

HOUR = 3600.0
SCRIPT = MachineFact().command().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
"""Without this machine's own folders, in which a real dockerd may stand."""


def machine(rights: Rights = "root", ahead: float = 0.0) -> Machine:
    return Machine(rights, ahead, "debian ", "running", client=True)


@pytest.mark.parametrize("rights", ["root", "sudo"])
@pytest.mark.parametrize("ahead", [0.0, 1.5, -1.5, HOUR - 0.001, 0.001 - HOUR])
def test_a_host_that_can_be_worked_on(rights: Rights, ahead: float) -> None:
    before = machine(rights, ahead)
    machines.check(before)  # would raise
    assert before == machine(rights, ahead)


def test_without_rights_a_host_is_left_alone_and_the_way_to_rights_is_told() -> None:
    with pytest.raises(Conflict) as stop:
        machines.check(machine("none", 10 * HOUR))  # said first: the clock can be set with rights only
    assert (stop.value.problem, stop.value.remedy) == (
        "neither root nor passwordless sudo",
        "log in as root, or allow it in /etc/sudoers.d (USER ALL=(ALL) NOPASSWD: ALL), and run again",
    )


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (HOUR, "1 h 0 min ahead of"),
        (-HOUR, "1 h 0 min behind"),
        (HOUR + 29, "1 h 0 min ahead of"),
        (-HOUR - 31, "1 h 1 min behind"),
        (2 * HOUR - 20, "2 h 0 min ahead of"),
        (-50.5 * HOUR, "50 h 30 min behind"),
    ],
)
def test_a_clock_that_is_off_by_an_hour_is_refused(ahead: float, said: str) -> None:
    with pytest.raises(Conflict) as stop:
        machines.check(machine(ahead=ahead))
    assert (stop.value.problem, stop.value.remedy) == (
        f"its clock is {said} this machine's, so certificates would not be valid there",
        "set the clocks (timedatectl set-ntp true) and run again",
    )


NEEDED = [
    "base64",
    "cat",
    "date",
    "grep",
    "head",
    "ls",
    "readlink",
    "sed",
    "sh",
    "stat",
    "tail",
    "timeout",
    "true",
    "uname",
]


def look(folder: Path, **stubs: str) -> Machine:
    """Run the fact's script where there are no commands but these and the few that it needs.

    systemd runs if there is a folder `systemd`; `mountinfo` and `cmdline` stand for the files of /proc.
    """
    for needed in set(NEEDED) - set(stubs):
        (folder / needed).symlink_to(shutil.which(needed) or "missing")
    for name, body in stubs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    moved = SCRIPT.replace("/run/systemd/system", f"{folder}/systemd")
    for path in ("/proc/self/mountinfo", "/proc/cmdline"):
        if (file := folder / Path(path).name).exists():
            moved = moved.replace(path, str(file))
    done = subprocess.run(
        ["/bin/sh", "-c", moved], env={"PATH": str(folder)}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""  # pyinfra would ask for a password when it read sudo's complaint
    return MachineFact().process(done.stdout.splitlines())


ROOT, USER = "echo 0", "echo 1000"
SUDO, NO_SUDO = 'shift; exec "$@"', "echo 'sudo: a password is required' >&2; exit 1"
# Only the real socket is asked, whatever the variables, a context or a config.json may say.
UNIT = '[ "$*" = "-q is-active docker.service" ]'
ENGINE = '[ "$*" = "--config /nonexistent -H unix:///var/run/docker.sock version" ]'


@pytest.mark.parametrize(
    ("stubs", "rights", "engine", "client"),
    [
        ({"id": ROOT}, "root", "absent", False),
        ({"id": ROOT, "docker": ENGINE}, "root", "running", True),
        ({"id": ROOT, "docker": "exit 1"}, "root", "absent", True),
        ({"id": ROOT, "docker": "exit 1", "dockerd": "exit 9"}, "root", "stopped", True),
        ({"id": ROOT, "dockerd": "exit 9"}, "root", "stopped", False),
        ({"id": ROOT, "docker": "exit 124", "dockerd": "exit 9"}, "root", "silent", True),
        ({"id": USER, "sudo": SUDO, "docker": ENGINE}, "sudo", "running", True),
        ({"id": USER, "sudo": SUDO, "docker": "exit 1", "dockerd": "exit 9"}, "sudo", "stopped", True),
        ({"id": USER, "sudo": NO_SUDO, "docker": ENGINE}, "none", "absent", True),
        ({"id": USER}, "none", "absent", False),
        ({"id": ROOT, "systemctl": UNIT, "docker": "exit 9"}, "root", "running", True),
        ({"id": USER, "sudo": SUDO, "systemctl": UNIT, "docker": "exit 9"}, "sudo", "running", True),
        ({"id": USER, "sudo": NO_SUDO, "systemctl": UNIT}, "none", "absent", False),
        ({"id": ROOT, "systemctl": "exit 3", "docker": ENGINE}, "root", "running", True),
    ],
)  # fmt: skip
def test_what_the_script_finds_out(
    tmp_path: Path, stubs: dict[str, str], rights: Rights, engine: Engine, client: bool
) -> None:
    found = look(tmp_path, **stubs)
    assert (found.rights, found.engine, found.client) == (rights, engine, client)
    assert abs(found.ahead) < 10


# systemctl, as on a host with systemd, whose units are in the states $service and $socket.
STATES = """case "$*" in
    ('is-enabled docker.service') echo {service}; [ {service} = enabled ] ;;
    ('is-active docker.socket') echo {socket}; [ {socket} = active ] ;;
    (*) exit 3 ;;
esac"""


@pytest.mark.parametrize(
    ("service", "socket", "answer", "engine", "why"),
    [
        ("disabled", "active", "not asked", "off", "docker.service is disabled"),
        ("disabled", "inactive", "none", "off", "docker.service is disabled"),
        ("disabled", "inactive", "an engine", "running", ""),  # started by hand, or by another unit
        ("masked", "inactive", "none", "off", "docker.service is masked"),
        ("masked-runtime", "active", "not asked", "off", "docker.service is masked"),
        ("enabled", "active", "not asked", "stopped", ""),
        ("enabled", "inactive", "none", "stopped", ""),
        ("static", "inactive", "none", "stopped", ""),
        ("not-found", "inactive", "none", "stopped", ""),
    ],
)
def test_an_engine_that_a_person_switched_off_is_not_asked(
    tmp_path: Path, service: str, socket: str, answer: str, engine: Engine, why: str
) -> None:
    (tmp_path / "systemd").mkdir()
    stubs = {
        "id": ROOT,
        "systemctl": STATES.format(service=service, socket=socket),
        "docker": f": > {tmp_path}/asked; {ENGINE if answer == 'an engine' else 'exit 1'}",
        "dockerd": "exit 9",
    }
    found = look(tmp_path, **stubs)
    assert (found.engine, found.why_off) == (engine, why)
    assert (tmp_path / "asked").exists() == (answer != "not asked")


def test_podman_at_docker_s_socket_is_no_engine(tmp_path: Path) -> None:
    linked = "echo /run/podman/podman.sock"
    assert look(tmp_path, id=ROOT, docker=ENGINE, readlink=linked).engine == "absent"


@pytest.mark.parametrize(
    ("said", "problem", "remedy"),
    [
        ("sudo: a password is required", "", machines.NO_RIGHTS),
        ("sudo: sorry, you must have a tty to run sudo", "sudo: sorry, you must have a tty to run sudo",
         "allow it without a terminal (the line Defaults !requiretty in /etc/sudoers.d)"),
        ("We trust you have received the usual lecture\n\nop is not in the sudoers file.", "op is not in the sudoers file.",
         machines.NO_RIGHTS),
        ("sudo: Account expired or PAM config lacks an \"account\" section",
         "sudo: Account expired or PAM config lacks an \"account\" section",
         "renew that account's password or its date (chage -l USER shows both)"),
        ("sudo: account validation failure, is your account locked?",
         "sudo: account validation failure, is your account locked?", "unlock that account (passwd -u USER)"),
        ("sh: 1: sudo: not found", "sh: 1: sudo: not found", "log in as root, or install sudo there"),
        ("sudo: /etc/sudoers.d/x is world writable \x1b[2J", "sudo: /etc/sudoers.d/x is world writable \\x1b[2J",
         machines.NO_RIGHTS),
    ],
)  # fmt: skip
def test_sudo_s_own_words_are_quoted(tmp_path: Path, said: str, problem: str, remedy: str) -> None:
    (tmp_path / "said").write_text(said)
    found = look(tmp_path, id=USER, sudo=f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(Conflict) as stop:
        machines.check(found)
    quoted = f" ({problem})" if problem else ""
    assert (stop.value.problem, stop.value.remedy) == (
        f"neither root nor passwordless sudo{quoted}",
        f"{remedy}, and run again",
    )


MOUNT = "936 761 0:196 / {at} rw,relatime master:11 - overlay overlay rw,lowerdir=/x:/y,upperdir={upper},workdir=/w"


@pytest.mark.parametrize(
    ("etc", "at", "upper", "upper_is", "cmdline", "memory"),
    [
        ("ext2/ext3", "/", "", "", "boot=live", ""),
        ("tmpfs", "/", "", "", "", "tmpfs"),  # Unraid's rootfs
        ("ramfs", "/", "", "", "", "ramfs"),
        ("overlayfs", "/", "/var/lib/docker/overlay2/d4/diff", "", "root=/dev/sda1 quiet", ""),
        ("overlayfs", "/", "{seen}", "tmpfs", "", "tmpfs"),  # overlayroot, with its folders in sight
        ("overlayfs", "/etc", "{seen}", "tmpfs", "", "tmpfs"),
        ("overlayfs", "/", "{seen}", "ext2/ext3", "overlayroot=tmpfs", ""),
        ("overlayfs", "/", "/cow/upper", "", "BOOT_IMAGE=/casper/vmlinuz boot=casper quiet", "tmpfs"),
        ("overlayfs", "/", "/cow/upper", "", "boot=casper persistent quiet", ""),
        ("overlayfs", "/", "/run/live/overlay/rw", "", "boot=live components", "tmpfs"),
        ("overlayfs", "/", "/run/live/overlay/rw", "", "boot=live persistence", ""),
        ("overlayfs", "/", "/overlay/upper", "", "boot=overlay root=/dev/mmcblk0p2", "tmpfs"),
        ("overlayfs", "/", "/sysroot/x", "", "rd.live.image quiet", "tmpfs"),
        ("overlayfs", "/", "/run/systemd/x", "", "systemd.volatile=state", ""),
        ("overlayfs", "/", "/run/systemd/x", "", "systemd.volatile=overlay", "tmpfs"),
    ],
)
def test_an_etc_in_memory_is_told_from_a_container_s(
    tmp_path: Path, etc: str, at: str, upper: str, upper_is: str, cmdline: str, memory: str
) -> None:
    (tmp_path / "seen").mkdir()
    upper = upper.format(seen=tmp_path / "seen")
    (tmp_path / "mountinfo").write_text(MOUNT.format(at=at, upper=upper) + "\n" if upper else "")
    (tmp_path / "cmdline").write_text(f"{cmdline}\n")
    stat = f'case "$*" in (*/etc) echo {etc} ;; (*) echo {upper_is} ;; esac'
    assert look(tmp_path, id=ROOT, stat=stat).memory == memory


def test_a_host_that_forgets_etc_is_told_of() -> None:
    assert machines.volatile(machine()) is None
    assert machines.volatile(replace(machine(), memory="tmpfs")) == (
        "/etc is in memory there (tmpfs), so what this project writes is gone after a reboot; "
        "have make deploy run after each, or keep /etc on a disk"
    )


def test_the_distribution_s_names_are_told(tmp_path: Path) -> None:
    known = subprocess.run(
        ["sh", "-c", '. /etc/os-release; echo "$ID $ID_LIKE"'], capture_output=True, text=True, check=False
    )
    assert look(tmp_path, id=ROOT).family == known.stdout.rstrip("\n")


def test_the_host_s_own_name_and_addresses_are_told(tmp_path: Path) -> None:
    told = "2: eth0    inet 192.0.2.21/24 brd 192.0.2.255 scope global eth0"
    found = look(tmp_path, id=ROOT, ip=f"echo '{told}'; echo '2: eth0    inet6 2001:db8::21/64 scope global'")
    assert found.names == {os.uname().nodename, "192.0.2.21", "2001:db8::21"}
    tmp_path.joinpath("ip").unlink()


REJECT_PIPE = ["rights|root", "time|0.0", "family|raspbian debian", "client|yes", "engine|stopped", "end"]


def test_a_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.run.machines.time.time", lambda: 100.0)
    assert MachineFact().process([*REJECT_PIPE[:1], "time|30.5", *REJECT_PIPE[2:]]) == Machine(
        "root", -69.5, "raspbian debian", "stopped", client=True
    )


@pytest.mark.parametrize("kept", range(len(REJECT_PIPE)))
def test_a_cut_answer_is_none(kept: int) -> None:
    with pytest.raises(FactProcessError, match=r"^the answer was cut short$"):
        MachineFact().process(REJECT_PIPE[:kept])


def test_the_script_is_sound() -> None:
    done = subprocess.run(["sh", "-n", "-c", MachineFact().command()], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
