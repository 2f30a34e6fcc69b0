"""What the script reports of a Docker host: its engines, who runs them, and their files to the byte.

The paths are moved below a folder of the test's. getent is a fake (a shell function), and so is setpriv, a program
that changes no user but notes who was asked for.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.clients import mirrors
from tasks.clients.hosts_file import HostsFile
from tasks.clients.mirrors import Mirror
from tasks.docker_hosts import plan as docker_hosts
from tasks.docker_hosts.engines import SNAP, DockerHost, Engine, EngineInfo
from tasks.docker_hosts.facts import DockerHostFact
from tasks.remote.users import User
from tasks.settings.load import HostSettings, Settings

SETTINGS = Settings(registry_port=5443)
CACHING = Settings(registry_port=5443, registry_caches=["ghcr.io"])  # type: ignore[arg-type]
MIRROR = mirrors.mirror(CACHING, HostSettings())
FOLDER = "certs.d/registry.homelab.local:5443"
PEM = "-----BEGIN CERTIFICATE-----\n|\n"


class FailedError(Exception):
    """The script failed, with this complaint."""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "etc").mkdir()
        self.hosts = folder / "etc/hosts"
        self.hosts.write_text("127.0.0.1 localhost # é | x\r\n\n\tlast line without its newline")
        self.as_who = ""
        self.mirror: Mirror | None = None
        self.users = {"ci": 1000, "old": 999, "builder": 4242}
        self.write("fakes/setpriv", f"""#!/bin/sh
echo "$1 $2 $3" >> {folder}/asked
while [ "$1" != -- ]; do shift; done; shift; exec "$@"
""")  # fmt: skip
        (folder / "fakes/setpriv").chmod(0o755)

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
        command = DockerHostFact().command(CACHING if self.mirror else SETTINGS, [], None, self.mirror)
        command = command.replace("unix:///var/run/", f"unix://{self.folder}/")
        command = re.sub(r"(?<![\w/])(/etc/|/var/snap|/run/user)", rf"{self.folder}\1", command)
        path = f"{self.folder}/fakes:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", getent + self.as_who + command],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or done.stderr:
            assert (done.returncode, done.stdout) == (1, "")
            raise FailedError(done.stderr)
        assert done.stdout.isascii()
        return done.stdout.split("\n")

    def read(self) -> DockerHost:
        return DockerHostFact().process(self.lines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_host_with_nothing_of_ours(machine: Machine) -> None:
    found = machine.read()
    etc = f"{machine.folder}/etc/docker"
    assert found.engines == [Engine(etc, f"{etc}/daemon.json")]
    assert found.paths == dict.fromkeys(docker_hosts.paths(SETTINGS, etc))
    assert (found.texts, found.homes) == ({}, {})
    assert found.client.hosts == HostsFile(
        machine.hosts.read_bytes().decode(), str(machine.hosts), writable=os.geteuid() == 0
    )


def test_the_engine_s_files_are_reported_to_the_byte(machine: Machine) -> None:
    texts = {
        f"etc/docker/{FOLDER}/ca.crt": PEM,
        f"etc/docker/{FOLDER}/hosts.toml": "server = 'x'",
        "etc/docker/daemon.json": '{"debug": true}\n',
    }
    for path, text in texts.items():
        machine.write(path, text)
    machine.write("etc/docker/certs.d/registry.homelab.local_5443_/x", "")
    found = machine.read()
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
    """One runs, one has its unit. A system user (below 1000) has none, and no engine is reported twice."""
    for name in ("ci", "old", "builder"):
        machine.write(f"home/{name}/.config/systemd/user/docker.service", "[Unit]\n")
    machine.write("home/ci/.config/docker/daemon.json", "{}")
    machine.write(f"home/builder/.config/docker/{FOLDER}/ca.crt", PEM)
    machine.write("var/snap/docker/7/config/daemon.json", "{}")
    (machine.folder / "var/snap/docker/current").symlink_to("7")
    found = machine.read()
    root = str(machine.folder)
    homes = {name: f"{root}/home/{name}" for name in machine.users}
    assert found.engines[1] == Engine(root + SNAP[0], root + SNAP[1])
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


@pytest.mark.usefixtures("sockets")
def test_a_user_s_engine_is_read_with_that_user_s_rights(machine: Machine) -> None:
    machine.read()
    assert (machine.folder / "asked").read_text() == "--reuid=4242 --regid=4242 --init-groups\n"


def test_no_user_can_forge_other_files(machine: Machine) -> None:
    """A user could write anything to the output of their own shell."""
    etc = f"{machine.folder}/etc/docker/daemon.json"
    machine.write("etc/docker/daemon.json", "{}")
    folder = f"{machine.folder}/home/ci/.config/docker"
    forged = [f"{etc}|e30K", f"{folder}-x/daemon.json|e30K", f"{folder}/daemon.json|e30K"]
    told = "\n".join([*(f"text|{each}" for each in forged), f"path|{etc}", f"path|{folder}/x", "end"])
    line = f"rootless|ci|1000|1000|0|{b64encode(told.encode()).decode()}|{machine.folder}/home/ci"
    found = DockerHostFact().process([line, *machine.lines()])
    assert found.texts[etc] == "{}"
    assert {path for path in found.texts if path.startswith(f"{machine.folder}/home")} == {
        f"{folder}/daemon.json"
    }
    assert (f"{folder}/x" in found.paths, etc in found.paths) == (True, False)


@pytest.mark.usefixtures("sockets")
def test_a_file_of_a_user_s_that_is_too_large_is_named(machine: Machine) -> None:
    path = "home/builder/.config/docker/daemon.json"
    machine.write(path, "x" * (1 << 20))
    assert len(machine.read().texts[f"{machine.folder}/{path}"]) == 1 << 20
    machine.write(path, "x" * ((1 << 20) + 1))
    folder = f"{machine.folder}/home/builder/.config/docker"
    assert machine.read().unread == {folder: f"{folder}/daemon.json is larger than 1 MiB"}


@pytest.mark.parametrize(
    ("code", "told", "said"),
    [
        (0, b"text|\x1b[2J|/w==\nend", "\\x1b[2J is not UTF-8 text"),
        (0, b"path|/etc", "the answer was cut short"),
        (0, b"path|/etc|x\nend", "the answer is malformed"),
        (0, b"\xff\nend", ""),
        (1, b"sh: no\x1b[2J", "sh: no\\x1b[2J"),
        (1, b"", "exit code 1"),
        (124, b"x", "no answer in 60 s"),
        (137, b"", "no answer in 60 s"),
        (153, b"", "more than 8 MiB"),
    ],
)
def test_what_is_not_known_of_a_user_s_engine_is_told_and_no_more(
    machine: Machine, code: int, told: bytes, said: str
) -> None:
    line = f"rootless|ci|1000|1000|{code}|{b64encode(told).decode()}|{machine.folder}/home/ci"
    found = DockerHostFact().process([line, *machine.lines()])
    assert list(found.unread.values()) == ([said] if said else [])
    assert found.client == machine.read().client


@contextmanager
def dockerd(folder: Path, *arguments: str | bytes) -> Iterator[str]:
    """A fake engine that runs, a shell of that name; its process id."""
    program = folder / "dockerd"
    program.write_bytes(Path("/bin/sh").resolve().read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "-c", "read x", *arguments], stdin=subprocess.PIPE) as running:
        while Path(f"/proc/{running.pid}/comm").read_text() != "dockerd\n":
            os.sched_yield()
        try:
            yield str(running.pid)
        finally:
            running.communicate()


AS_ROOT = """stat() { case "$*" in ('-c %u /proc/'*) echo 0 ;; (*) command stat "$@" ;; esac; }\n"""
"""Makes the processes of whoever runs the tests look like root's."""


def test_the_arguments_of_an_engine_that_runs(machine: Machine, tmp_path: Path) -> None:
    machine.as_who = AS_ROOT
    machine.write("else\\where|.json", '{"a": 1}')
    arguments = ["--config-file", f"{tmp_path}/else\\where|.json", "--insecure-registry=x.y", ""]
    with dockerd(tmp_path, *arguments) as pid:
        found = machine.read()
    assert found.daemons[pid] == [f"{tmp_path}/dockerd", "-c", "read x", *arguments]
    assert found.texts[f"{tmp_path}/else\\where|.json"] == '{"a": 1}'


@pytest.fixture
def talking(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A host whose running engine says how it stores images, and notes that it was asked."""
    machine.as_who = AS_ROOT
    said = '["28.5.2",[["driver-type","io.containerd.snapshotter.v1"]],["https://x/"]]'
    machine.write("fakes/docker", f"#!/bin/sh\necho \"$@\" > {machine.folder}/docker-asked\necho '{said}'\n")
    (machine.folder / "fakes/docker").chmod(0o755)
    monkeypatch.chdir(machine.folder)  # a socket's path may be of 107 bytes only
    with socket.socket(socket.AF_UNIX) as listening, dockerd(machine.folder):
        listening.bind("docker.sock")
        yield machine


def test_a_running_engine_is_asked_how_it_stores_images_if_there_are_caches(talking: Machine) -> None:
    assert talking.read().info == {}
    assert not (talking.folder / "docker-asked").exists()
    talking.mirror = MIRROR
    assert talking.read().info == {f"{talking.folder}/etc/docker": EngineInfo("containerd", ("https://x/",))}
    asked = (talking.folder / "docker-asked").read_text()
    assert asked.startswith(f"--config /nonexistent -H unix://{talking.folder}/docker.sock info -f ")


def test_or_if_an_earlier_run_left_something(talking: Machine) -> None:
    talking.write("etc/docker/certs.d/mirror.homelab.local/hosts.toml", f"{mirrors.MARK}\n")
    talking.write("etc/docker/certs.d/ghcr.io/hosts.toml", "server = 'theirs'")
    talking.write("etc/docker/certs.d/quay.io/hosts.toml", "x" * ((1 << 20) + 1))
    found = talking.read()
    assert list(found.info.values()) == [EngineInfo("containerd", ("https://x/",))]
    certs = f"{talking.folder}/etc/docker/certs.d"
    assert {path: text for path, text in found.texts.items() if path.startswith(certs)} == {
        f"{certs}/mirror.homelab.local/hosts.toml": f"{mirrors.MARK}\n"
    }


def test_what_the_user_has_for_the_caches_upstreams_is_read_if_there_are_caches(machine: Machine) -> None:
    machine.mirror = MIRROR
    certs = f"{machine.folder}/etc/docker/certs.d"
    texts = {
        f"{certs}/ghcr.io/hosts.toml": "a",
        f"{certs}/ghcr.io/x.crt": "b",
        f"{certs}/_default/hosts.toml": "c",
    }
    for path, text in texts.items():
        machine.write(path.removeprefix(f"{machine.folder}/"), text)
    found = machine.read()
    assert {path: text for path, text in found.texts.items() if path.startswith(certs)} == texts
    assert found.info == {}
    assert found.paths.keys() >= set(docker_hosts.paths(CACHING, f"{machine.folder}/etc/docker", MIRROR))


def test_no_user_can_forge_what_another_engine_says(talking: Machine) -> None:
    talking.mirror = MIRROR
    folder = f"{talking.folder}/home/builder/.config/docker"
    forged = b64encode(b'["20", null, null]').decode()
    told = "\n".join([f"info|{talking.folder}/etc/docker|{forged}", f"info|{folder}|{forged}", "end"])
    line = f"rootless|builder|1|1|0|{b64encode(told.encode()).decode()}|{talking.folder}/home/builder"
    found = DockerHostFact().process([line, *talking.lines()])
    assert {path: info.store for path, info in found.info.items()} == {
        f"{talking.folder}/etc/docker": "containerd",
        folder: "graph driver",
    }


def test_arguments_that_are_not_text(machine: Machine, tmp_path: Path) -> None:
    machine.as_who = AS_ROOT
    file = os.fsencode(tmp_path) + b"/\xff.json"
    Path(os.fsdecode(file)).write_text("{}")
    with dockerd(tmp_path, b"--config-file=" + file, b"a\n|\xfe") as pid:
        found = machine.read()
    assert found.daemons[pid][-2:] == [f"--config-file={os.fsdecode(file)}", "a\n|\udcfe"]
    assert found.texts[os.fsdecode(file)] == "{}"


def test_a_process_of_a_user_s_that_has_the_name_is_no_engine(machine: Machine, tmp_path: Path) -> None:
    machine.as_who = AS_ROOT.replace("echo 0", "echo 1000")
    with dockerd(tmp_path, "--config-file=/etc/hosts") as pid:
        assert pid not in machine.read().daemons


def test_nor_is_a_program_of_root_s_that_is_started_by_a_link(machine: Machine, tmp_path: Path) -> None:
    machine.as_who = AS_ROOT
    link = tmp_path / "link/dockerd"
    link.parent.mkdir()
    link.symlink_to("/bin/sh")
    with subprocess.Popen([link, "-c", "read x"], stdin=subprocess.PIPE) as running:
        while Path(f"/proc/{running.pid}/comm").read_text() != "dockerd\n":
            os.sched_yield()
        found = machine.read()
        running.communicate()
    assert str(running.pid) not in found.daemons


@pytest.mark.parametrize("rescue", ["", "half\n", "127.0.0.1 localhost\n" * 5000])
def test_what_a_killed_run_left_is_reported_even_if_it_is_empty(machine: Machine, rescue: str) -> None:
    machine.write("etc/.hosts.homelab-rescue", rescue)
    assert machine.read().client.hosts.rescue == rescue


@pytest.mark.parametrize(
    "content",
    [b"192.168.1.20 drucker  # B\xfcro\n", bytes(range(256)), b"0.0.0.0 ads.example.org\n" * 70_000],
    ids=["Latin-1", "any bytes", "1.7 MB"],
)
def test_a_hosts_file_of_any_bytes_and_any_size_is_read_where_a_link_leads(
    machine: Machine, content: bytes
) -> None:
    machine.write("store/hosts", "")
    (machine.folder / "store/hosts").write_bytes(content)
    machine.hosts.unlink()
    machine.hosts.symlink_to("../store/hosts")
    found = machine.read().client.hosts
    assert found.text.encode(errors="surrogateescape") == content
    assert found.path == f"{machine.folder}/store/hosts"


CLOUD_INIT = "# Your system has configured 'manage_etc_hosts' as True.\n# a.) make changes to the master file in {template}\n"


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("etc/hosts", CLOUD_INIT, True),
        ("etc/cloud/cloud.cfg.d/99.cfg", "manage_etc_hosts: true\n", True),
        ("etc/cloud/cloud.cfg", "a: b\nmanage_etc_hosts: 'template'\n", True),
        ("etc/cloud/cloud.cfg", "manage_etc_hosts: localhost\n", False),
        ("etc/cloud/cloud.cfg", "manage_etc_hosts: false\n", False),
        ("etc/cloud/cloud.cfg", "# manage_etc_hosts: true\n", False),
        (
            "etc/cloud/templates/hosts.debian.tmpl",
            "1.2.3.4 x # homelab-registry\n",
            True,
        ),  # to be kept current, or removed
    ],
)
def test_cloud_init_s_template_is_read_if_it_makes_the_file(
    machine: Machine, path: str, text: str, told: bool
) -> None:
    template = "etc/cloud/templates/hosts.debian.tmpl"
    machine.write("etc/os-release", "ID=raspbian\nID_LIKE=debian\n")
    machine.write(template, "127.0.1.1 {{fqdn}}\n")
    machine.write("etc/cloud/templates/hosts.arch.tmpl", "x")
    machine.write(path, text.format(template=machine.folder / template))
    found = machine.read().client.hosts
    assert found.template == (f"{machine.folder}/{template}" if told else "")
    assert found.template_text == ((machine.folder / template).read_text() if told else "")


@pytest.mark.parametrize(
    ("text", "keeps"),
    [("[network]\ngenerateHosts = false\n", True), ("[network]\ngenerateHosts=true\n", False),
     ("# generateHosts = false\n", False), ("", False)],
)  # fmt: skip
def test_whether_wsl_makes_the_hosts_file(machine: Machine, text: str, keeps: bool) -> None:
    machine.write("etc/wsl.conf", text)
    assert machine.read().client.hosts.wsl_keeps == keeps


@pytest.mark.parametrize("path", ["etc/docker/daemon.json", f"etc/docker/{FOLDER}/ca.crt"])
def test_what_is_not_text_is_unknown(machine: Machine, path: str) -> None:
    machine.write(path, "")
    (machine.folder / path).write_bytes(b"\xff\xfe")
    with pytest.raises(FactProcessError, match=rf"^{machine.folder / path} is not UTF-8 text$"):
        machine.read()


def test_output_that_is_cut_anywhere_is_rejected(machine: Machine) -> None:
    machine.write(f"etc/docker/{FOLDER}/ca.crt", PEM)
    whole = [line for line in machine.lines() if line]
    assert len(whole) > 7
    for kept in range(len(whole)):
        with pytest.raises(FactProcessError):
            DockerHostFact().process(whole[:kept])
