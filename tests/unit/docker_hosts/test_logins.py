"""Logins of a Docker host's users: what the script reports of their homes, the steps, and their effect.

getent is a fake here (a shell function with users of the test's own), and so is the credential helper; the users' homes
are folders of the test, and the scripts run as whoever runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.accounts.logins import Login
from tasks.docker_hosts import logins as docker_logins
from tasks.docker_hosts.facts import DockerHostFact
from tasks.docker_hosts.logins import Home
from tasks.remote.steps import Conflict, Step
from tasks.remote.users import RUN_AS, SECONDS
from tasks.settings.load import Settings
from tests.credential_helper import HELPER

A, B = "registry.homelab.local", "[fd00::1]"
NAMES = [A, B]
SETTINGS = Settings(registry_extra_names=("fd00::1",))
LOGIN = Login("cluster", 'se|cret"ö')
AUTH = b64encode('cluster:se|cret"ö'.encode()).decode()


class Machine:
    """A host with the users `ci` and `other`, whose homes are folders; `nobody` is known to it and has no home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home of ci"
        (self.home / "bin").mkdir(parents=True)
        self.config = self.home / ".docker" / "config.json"
        ids = f"{os.getuid()}:{os.getgid()}"
        self.getent = (
            'getent() { case "$*" in\n'
            f"('passwd -- ci') echo 'ci:x:{ids}:a,b:{self.home}:/bin/sh' ;;\n"
            f"('passwd -- other') echo 'other:x:{ids}::{folder}/gone:/bin/sh' ;;\n"
            "('passwd -- broken') return 1 ;;\n"
            "(*) return 2 ;;\nesac; }\n"
        )

    def write(self, text: str, mode: int = 0o600) -> None:
        self.config.parent.mkdir(mode=0o700, exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)

    def helper(self, text: str = HELPER, name: str = "fake") -> None:
        program = self.home / "bin" / f"docker-credential-{name}"
        program.write_text(text)
        program.chmod(0o755)

    def ask(self, *users: str) -> dict[str, Home | None]:
        command = self.getent + DockerHostFact().command(SETTINGS, users, None)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return dict(DockerHostFact().process(done.stdout.split("\n")).homes)

    def steps(self, *users: str) -> list[Step]:
        users = users or ("ci",)
        found = self.ask(*users)
        docker_logins.check(users, found)
        return [step for home in found.values() if home for step in docker_logins.steps(home, NAMES, LOGIN)]

    def run(self) -> list[str]:
        """Take the steps, as a run does; return their texts with `~` for the home."""
        steps = self.steps()
        for step in steps:
            # pyinfra ends what it sends with a newline.
            done = subprocess.run(["sh", "-c", step.script], input=f"{step.stdin or ''}\n", capture_output=True,
                                  text=True, check=False)  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
        return [step.text.replace(str(self.home), "~") for step in steps]

    def stop(self, *users: str) -> str:
        with pytest.raises(Conflict) as stop:
            self.steps(*users)
        assert "cret" not in str(stop.value)
        return stop.value.problem.replace(str(self.home), "~")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


WRITE = "write ~/.docker/config.json: "


def test_a_user_who_has_nothing(machine: Machine) -> None:
    assert machine.run() == [
        "make ~/.docker: it is missing",
        f"{WRITE}ci has no login for {A}, {B}",
    ]
    assert json.loads(machine.config.read_text()) == {"auths": {A: {"auth": AUTH}, B: {"auth": AUTH}}}
    assert machine.config.stat().st_mode & 0o777 == 0o600
    assert machine.config.parent.stat().st_mode & 0o777 == 0o700
    assert machine.run() == []


def test_what_the_user_wrote_is_kept(machine: Machine) -> None:
    """As Docker writes it, without a newline at its end, and with one."""
    for end in ("", "\n", "\n\n"):
        machine.write(
            f'{{\n\t"é": 1.5,\n\t"auths": {{\n\t\t"x": {{\n\t\t\t"auth": "a"\n\t\t}}\n\t}}\n}}{end}'
        )
        assert machine.run() == [f"{WRITE}ci has no login for {A}, {B}"]
        ours = "".join(f',\n\t\t"{name}": {{\n\t\t\t"auth": "{AUTH}"\n\t\t}}' for name in NAMES)
        assert machine.config.read_text() == (
            f'{{\n\t"é": 1.5,\n\t"auths": {{\n\t\t"x": {{\n\t\t\t"auth": "a"\n\t\t}}{ours}\n\t}}\n}}{end}'
        )
        assert machine.run() == []


def test_an_old_password_and_a_wide_mode(machine: Machine) -> None:
    machine.run()
    right = machine.config.read_text()
    machine.write(right.replace(AUTH, "eDp5", 1), 0o644)
    assert machine.run() == [f"{WRITE}the login of ci is not as it should be"]
    assert machine.config.read_text() == right
    assert machine.config.stat().st_mode & 0o777 == 0o600
    machine.config.chmod(0o640)
    assert machine.run() == ["set mode of ~/.docker/config.json: its mode is 0640, not 0600"]
    (machine.config.parent / ".config.json.homelab-new").write_text("half")
    assert machine.run() == ["remove ~/.docker/.config.json.homelab-new: a run was killed while writing it"]
    assert machine.run() == []


def test_a_write_that_is_cut_short_changes_nothing(machine: Machine) -> None:
    machine.write("{}")
    (step,) = machine.steps()
    assert step.stdin
    done = subprocess.run(["sh", "-c", step.script], input=step.stdin[:-5], text=True, check=False)
    assert done.returncode != 0
    assert os.listdir(machine.config.parent) == ["config.json"]
    assert machine.config.read_text() == "{}"


def test_no_secret_is_in_a_script(machine: Machine) -> None:
    machine.helper()
    for text in ("{}", '{"credsStore": "fake"}'):
        machine.write(text)
        assert not any(
            secret in step.script + step.text for step in machine.steps() for secret in (AUTH, LOGIN.password)
        )


def test_the_snap_s_docker_has_a_file_of_its_own(machine: Machine) -> None:
    (machine.home / "snap/docker/7").mkdir(parents=True)
    (machine.home / "snap/docker/current").symlink_to("7")
    machine.write(json.dumps({"auths": {A: {"auth": AUTH}, B: {"auth": AUTH}}}))
    assert machine.run() == [
        "make ~/snap/docker/current/.docker: it is missing",
        f"write ~/snap/docker/current/.docker/config.json: ci has no login for {A}, {B}",
    ]
    assert (machine.home / "snap/docker/7/.docker/config.json").exists()
    assert machine.run() == []


# Helpers.


@pytest.mark.parametrize(
    "text",
    ['{"credsStore": "fake"}', f'{{\r\n"credHelpers"\t:\n{{"{A}" :\t"fake", "{B}":"fake"}}}}\n'],
    ids=["a store", "helpers"],
)  # fmt: skip
def test_a_helper_is_given_the_login_and_keeps_it(machine: Machine, text: str) -> None:
    machine.helper()
    machine.write(text)
    given = [f"give docker-credential-fake the login of ci for {name}: it does not hold it" for name in NAMES]
    assert machine.run() == given
    assert machine.run() == []
    for kept in (machine.home / ".fake-logins").iterdir():
        kept.write_text(kept.read_text().replace("cret", "CRET"))
    assert machine.run() == given
    assert machine.config.read_bytes().decode() == text


def test_one_name_in_a_helper_and_the_other_in_the_file(machine: Machine) -> None:
    machine.helper()
    machine.write(f'{{"credHelpers": {{"{B}": "fake"}}}}')
    assert machine.run() == [
        f"{WRITE}ci has no login for {A}",
        f"give docker-credential-fake the login of ci for {B}: it does not hold it",
    ]
    assert machine.run() == []
    assert machine.config.read_text() == (
        f'{{"credHelpers": {{"{B}": "fake"}}, "auths": {{"{A}": {{"auth": "{AUTH}"}}}}}}'
    )


def test_a_helper_for_other_registries_is_not_asked(machine: Machine) -> None:
    machine.helper(f"#!/bin/sh\ntouch '{machine.home}/asked'\n")
    machine.write('{"credHelpers": {"registry.example.org": "fake", "registryxhomelab.local": "fake"}}')
    assert machine.run() == [f"{WRITE}ci has no login for {A}, {B}"]
    assert not (machine.home / "asked").exists()


def broken(machine: Machine) -> None:
    machine.helper()
    (machine.home / ".fake-logins").mkdir()
    (machine.home / ".fake-logins/broken").touch()


@pytest.mark.parametrize(
    ("store", "prepare", "problem"),
    [
        ("fake", lambda machine: None, "which cannot be run there"),
        ("fake", broken, "which fails (exit code 1)"),
        ("fake", lambda machine: machine.helper("#!/bin/sh\nexit 126\n"), "which cannot be run there"),
        ("fake", lambda machine: machine.helper("#!/bin/sh\nexit 124\n"), "which gives no answer in 10 s"),
        ("fa ke; rm -rf /", lambda machine: None, "which could not be asked"),
    ],
    ids=["missing", "broken", "not to be run", "silent", "strange"],
)
def test_a_helper_that_cannot_be_used(
    machine: Machine, store: str, prepare: Callable[[Machine], None], problem: str
) -> None:
    prepare(machine)
    machine.write(f'{{\n"auths": {{}},\n"credsStore": "{store}"}}')
    assert machine.stop() == (
        f"~/.docker/config.json line 3 keeps the logins of ci in docker-credential-{store}, {problem}"
    )


def test_a_helper_that_does_not_accept_it_fails_with_one_line(machine: Machine) -> None:
    machine.helper()
    (machine.home / ".fake-logins").mkdir()
    (machine.home / ".fake-logins/full").touch()
    machine.write('{"credsStore": "fake"}')
    step = machine.steps()[0]
    done = subprocess.run(
        ["sh", "-c", step.script], input=step.stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout + done.stderr == (
        f"docker-credential-fake does not accept the login; see why, or remove it from {machine.config}\n"
    )


# Conflicts.


def test_a_user_or_a_home_that_is_not_there(machine: Machine) -> None:
    assert machine.stop("ci", "nouser") == "registry_login_users: there is no user nouser on this host"
    assert machine.stop("other") == (
        f"registry_login_users: the home of other ({machine.home.parent}/gone) does not exist"
    )


def test_if_users_cannot_be_looked_up_nothing_is_known(machine: Machine) -> None:
    command = machine.getent + DockerHostFact().command(SETTINGS, ["broken"], None)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def a_fifo(machine: Machine) -> None:
    machine.config.parent.mkdir()
    os.mkfifo(machine.config)


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (a_fifo, "~/.docker/config.json is a fifo, but has to be a regular file of ci"),
        (lambda machine: machine.write('{\n"auths": {\n'), "~/.docker/config.json line 3 is not JSON ("),
        (lambda machine: machine.write("[]"), "~/.docker/config.json line 1 is JSON, but not an object"),
    ],
    ids=["a fifo", "broken", "a list"],
)
def test_what_is_not_a_config_json(
    machine: Machine, prepare: Callable[[Machine], None], problem: str
) -> None:
    prepare(machine)
    assert machine.stop().startswith(problem)


@pytest.mark.parametrize("link", ["file", "folder", "dangling"])
def test_a_link_stays_and_its_target_gets_the_login(machine: Machine, link: str) -> None:
    """As of a program that manages dotfiles; Docker follows them too."""
    dotfiles = machine.home / "dotfiles"
    dotfiles.mkdir()
    target = dotfiles / "config.json"
    if link != "dangling":
        target.write_text('{"auths": {}}\n')
        target.chmod(0o600)
    if link == "folder":
        machine.config.parent.symlink_to("dotfiles")
    else:
        machine.config.parent.mkdir(mode=0o700)
        machine.config.symlink_to("../dotfiles/config.json")
    assert machine.run() == [f"write ~/dotfiles/config.json: ci has no login for {A}, {B}"]
    assert machine.config.parent.is_symlink() or machine.config.is_symlink()
    assert sorted(json.loads(target.read_text())["auths"]) == sorted(NAMES)
    assert [each.name for each in dotfiles.iterdir()] == ["config.json"]
    assert machine.run() == []


def test_a_file_in_a_folder_that_is_read_only_is_a_conflict_unless_it_has_the_login(machine: Machine) -> None:
    """As in the store of NixOS."""
    machine.write("{}")
    home = machine.ask("ci")["ci"]
    assert home
    home = replace(home, unwritable=[str(machine.config)])
    with pytest.raises(Conflict) as stop:
        docker_logins.steps(home, NAMES, LOGIN)
    assert stop.value.problem == f"{machine.config} cannot be replaced, since ci cannot write to its folder"
    auths = {name: {"auth": AUTH} for name in NAMES}
    assert (
        docker_logins.steps(
            replace(home, texts={str(machine.config): json.dumps({"auths": auths})}), NAMES, LOGIN
        )
        == []
    )


STOPS_ITS_PARENTS = """#!/bin/sh
parent=$(sed -n 's/^PPid:.//p' /proc/$PPID/status)
kill -STOP $PPID $parent
sleep 300
"""


@pytest.mark.parametrize(
    ("helper", "problem"),
    [
        (STOPS_ITS_PARENTS, "the login of ci could not be read (no answer in 2 s)"),
        ("#!/bin/sh\nhead -c 40000000 /dev/zero | tr '\\0' x", "which fails (exit code 141)"),
        ("#!/bin/sh\nyes", "which fails (exit code 141)"),
        ("#!/bin/sh\nsleep 300 & echo '{}'", "the login of ci could not be read (no answer in 2 s)"),
    ],
    ids=["stops its parents", "40 MB", "never ends", "goes on behind"],
)
def test_a_helper_that_misbehaves_costs_its_user_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, helper: str, problem: str
) -> None:
    """All is over in seconds; `sleep` is ended by the test's own time limit if it is waited for."""
    monkeypatch.setattr("tasks.docker_hosts.facts.RUN_AS", RUN_AS.replace(f"-k 1 {SECONDS}", "-k 1 2"))
    monkeypatch.setattr("tasks.docker_hosts.facts.SECONDS", 2)
    machine.helper(helper)
    machine.write('{"credsStore": "fake"}')
    began = time.monotonic()
    assert problem in machine.stop()
    assert time.monotonic() - began < 10


def test_somebody_else_s_file(machine: Machine) -> None:
    machine.write("{}")
    homes = machine.ask("ci")
    home = homes["ci"]
    assert home
    for path in (machine.config.parent, machine.config):
        there = home.paths[str(path)]
        assert there
        theirs = Home(home.user, home.folders, {**home.paths, str(path): replace(there, owner=os.getuid() + 7)},
                      home.texts)  # fmt: skip
        with pytest.raises(Conflict) as stop:
            docker_logins.steps(theirs, NAMES, LOGIN)
        assert f"{path} belongs to the user " in stop.value.problem
        assert stop.value.remedy == (f"give it back (chown {os.getuid()}:{os.getgid()} {path}) and run again")
    unread = Home(home.user, home.folders, home.paths)
    with pytest.raises(Conflict, match="ci may not read "):
        docker_logins.steps(unread, NAMES, LOGIN)
