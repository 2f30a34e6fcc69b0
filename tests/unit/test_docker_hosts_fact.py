"""What a real sh tells of a Docker host: its engines, whoever runs them, and of each the files to the byte.

The paths are moved below a folder of the test's, and getent is a fake (a shell function).
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.facts.docker_hosts import DockerHostFact
from tasks.model import docker_hosts
from tasks.model.docker_hosts import DockerHost, Engine
from tasks.model.settings import Settings
from tasks.model.users import User

SETTINGS = Settings(registry_port=5443)
FOLDER = "certs.d/registry.homelab.local:5443"
PEM = "-----BEGIN CERTIFICATE-----\n|\n"


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "etc").mkdir()
        self.hosts = folder / "etc/hosts"
        self.hosts.write_text("127.0.0.1 localhost # é | x\r\n\n\tlast line without its newline")
        self.users = {"ci": 1000, "old": 999, "builder": 4242}

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def lines(self) -> list[str]:
        passwd = [
            f"{name}:x:{uid}:{uid}:{name}:{self.folder}/home/{name}:/bin/sh"
            for name, uid in self.users.items()
        ]
        by_id = "".join(f"('passwd {line.split(':')[2]}') echo '{line}' ;;\n" for line in passwd)
        everyone = "; ".join(f"echo '{line}'" for line in passwd)
        getent = f"getent() {{ case \"$*\" in\n{by_id}('-s files passwd') {everyone} ;;\n(*) return 2 ;;\nesac; }}\n"
        command = DockerHostFact().command(
            docker_hosts.paths(SETTINGS, ""),
            docker_hosts.texts(SETTINGS, ""),
            list(SETTINGS.authorities),
            [],
            None,
        )
        command = re.sub(r"(?<![\w/])(/etc/|/var/snap|/run/user)", rf"{self.folder}\1", command)
        done = subprocess.run(["sh", "-c", getent + command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")

    def told(self) -> DockerHost:
        return DockerHostFact().process(self.lines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_host_with_nothing_of_ours(machine: Machine) -> None:
    found = machine.told()
    etc = f"{machine.folder}/etc/docker"
    assert found.engines == [Engine(etc, f"{etc}/daemon.json")]
    assert found.paths == dict.fromkeys(docker_hosts.paths(SETTINGS, etc))
    assert found.texts == {str(machine.hosts): machine.hosts.read_bytes().decode()}
    assert (found.homes, found.client.rescue, found.client.hosts_is_mount) == ({}, None, False)


def test_the_engine_s_files_are_told_to_the_byte(machine: Machine) -> None:
    texts = {
        f"etc/docker/{FOLDER}/ca.crt": PEM,
        f"etc/docker/{FOLDER}/hosts.toml": "server = 'x'",
        "etc/docker/daemon.json": '{"debug": true}\n',
    }
    for path, text in texts.items():
        machine.write(path, text)
    machine.write("etc/docker/certs.d/registry.homelab.local_5443_/x", "")
    found = machine.told()
    told = {path.removeprefix(f"{machine.folder}/"): text for path, text in found.texts.items()}
    assert told.items() >= texts.items()
    there = {
        path.removeprefix(f"{machine.folder}/etc/docker/") for path, state in found.paths.items() if state
    }
    assert there == {"certs.d", FOLDER, f"{FOLDER}/ca.crt", "certs.d/registry.homelab.local_5443_"}


@pytest.fixture
def sockets(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A socket of a rootless engine's for `builder`, one of a user who is gone, and a file that is no socket."""
    made = []
    for uid in (4242, 777):
        (machine.folder / f"run/user/{uid}").mkdir(parents=True)
        monkeypatch.chdir(machine.folder / f"run/user/{uid}")  # a socket's path may be of 107 bytes only
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].bind("docker.sock")
    machine.write("run/user/1000/docker.sock", "")
    yield
    for each in made:
        each.close()


@pytest.mark.usefixtures("sockets")
def test_engines_of_users_and_of_the_snap(machine: Machine) -> None:
    """One runs, one has its unit; that of a system user (below 1000) is none, and nobody is told of twice."""
    for name in ("ci", "old", "builder"):
        machine.write(f"home/{name}/.config/systemd/user/docker.service", "[Unit]\n")
    machine.write("home/ci/.config/docker/daemon.json", "{}")
    machine.write(f"home/builder/.config/docker/{FOLDER}/ca.crt", PEM)
    machine.write("var/snap/docker/7/config/daemon.json", "{}")
    (machine.folder / "var/snap/docker/current").symlink_to("7")
    found = machine.told()
    root = str(machine.folder)
    homes = {name: f"{root}/home/{name}" for name in machine.users}
    assert found.engines[1] == Engine(root + docker_hosts.SNAP[0], root + docker_hosts.SNAP[1])
    assert sorted(found.engines[2:], key=lambda engine: engine.folder) == [
        Engine(f"{homes[name]}/.config/docker", f"{homes[name]}/.config/docker/daemon.json",
               User(name, uid, uid, homes[name]))
        for name, uid in (("builder", 4242), ("ci", 1000))
    ]  # fmt: skip
    for engine in found.engines:
        assert set(docker_hosts.paths(SETTINGS, engine.folder)) <= set(found.paths)
    assert found.texts[f"{homes['builder']}/.config/docker/{FOLDER}/ca.crt"] == PEM
    assert found.texts[f"{homes['ci']}/.config/docker/daemon.json"] == "{}"
    assert found.texts[f"{root}/var/snap/docker/current/config/daemon.json"] == "{}"


def test_the_arguments_of_an_engine_that_runs(machine: Machine, tmp_path: Path) -> None:
    """A fake one: a shell of that name."""
    machine.write("elsewhere.json", '{"a": 1}')
    program = tmp_path / "dockerd"
    program.write_bytes(Path("/bin/sh").resolve().read_bytes())
    program.chmod(0o755)
    arguments = ["-c", "read x", "--config-file", f"{tmp_path}/elsewhere.json", "--insecure-registry=x.y"]
    with subprocess.Popen([program, *arguments], stdin=subprocess.PIPE) as running:
        while Path(f"/proc/{running.pid}/comm").read_text() != "dockerd\n":
            os.sched_yield()
        found = machine.told()
        running.communicate()
    assert found.daemons[str(running.pid)] == [str(program), *arguments]
    assert found.texts[f"{tmp_path}/elsewhere.json"] == '{"a": 1}'


@pytest.mark.parametrize("rescue", ["", "half\n", "127.0.0.1 localhost\n" * 5000])
def test_what_a_killed_run_left_is_told_even_if_it_is_empty(machine: Machine, rescue: str) -> None:
    machine.write("etc/.hosts.homelab-rescue", rescue)
    text = machine.told().texts[f"{machine.folder}/etc/.hosts.homelab-rescue"]
    assert text == rescue


@pytest.mark.parametrize("path", ["etc/hosts", "etc/docker/daemon.json", f"etc/docker/{FOLDER}/ca.crt"])
def test_what_is_no_text_is_unknown(machine: Machine, path: str) -> None:
    machine.write(path, "")
    (machine.folder / path).write_bytes(b"\xff\xfe")
    with pytest.raises(FactProcessError, match=rf"^{machine.folder / path} is not UTF-8 text$"):
        machine.told()


def test_an_answer_that_is_cut_anywhere_is_none(machine: Machine) -> None:
    machine.write(f"etc/docker/{FOLDER}/ca.crt", PEM)
    whole = [line for line in machine.lines() if line]
    assert len(whole) > 7
    for kept in range(len(whole)):
        with pytest.raises(FactProcessError):
            DockerHostFact().process(whole[:kept])
