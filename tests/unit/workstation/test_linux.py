"""linux.sh, run in a folder that stands for a whole machine: what it adds, what it leaves alone, and what it takes back."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.certificates import ca
from tasks.run.context import ROOT
from tasks.workstation.kit import Kit, texts

NAME = "registry.homelab.local"
NOW = dt.datetime.now(dt.UTC)
PEM, OTHER_PEM = (ca.make_authority([NAME], 3650, NOW).certificate_pem for _ in range(2))
KIT = Kit(NAME, [NAME], [NAME], "192.0.2.10", "ci", PEM)
CACHED = replace(
    KIT,
    names=[NAME, "mirror.homelab.local"],
    mirror="mirror.homelab.local",
    upstreams=["docker.io", "ghcr.io"],
)
LINE = f"192.0.2.10 {NAME} # homelab-registry\n"

DOCKER = """#!/bin/sh
case "$*" in
'buildx version') ;;
'buildx create '* | 'buildx rm '*) echo "$*" >> "$LOG"; ! grep -q "$1.*refused" "$LOG" ;;
*) exit 1 ;;
esac
"""
SUDO = '#!/bin/sh\necho "sudo $*" >> "$LOG"\nAS_ROOT=yes exec "$@"\n'
ID = '#!/bin/sh\n[ -n "$AS_ROOT" ] && echo 0 || echo 1000\n'
TOOLS = (
    "awk", "base64", "basename", "cat", "chmod", "cmp", "cp", "cut", "dirname", "find", "grep", "head", "mkdir", "mktemp", "mv",
    "readlink", "rm", "rmdir", "sed", "sh", "sha256sum", "sort", "tail", "tr", "wc", "timeout",
)  # fmt: skip


@dataclass
class Machine:
    """A machine in a folder: its programs are real but for Docker, sudo, `id` and what asks DNS."""

    root: Path
    home: Path

    @property
    def hosts(self) -> Path:
        return self.root / "etc/hosts"

    @property
    def toml(self) -> Path:
        return self.home / ".docker/buildx/buildkitd.default.toml"

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    def program(self, name: str, text: str = "#!/bin/sh\n") -> None:
        path = self.root / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def cert(self, folder: str) -> Path:
        return self.root / folder / f"certs.d/{NAME}/ca.crt"

    def run(
        self, *arguments: str, kit: Kit = KIT, errors: str = "", strict: bool = True, **environment: str
    ) -> tuple[int, list[str]]:
        """Run the script, with its system folders in this machine's; return the exit code and what it prints of things."""
        text = texts(kit, str(ROOT / "templates"))["linux.sh"]
        for path in (
            "/etc/docker",
            "/etc/containerd",
            "/var/snap/docker/current",
            "/var/run/docker.sock",
            "/var/lib/homelab",
        ):
            text = re.sub(f"(?<=[ =]){path}", f"$ROOT{path}", text)
        text = text.replace("hosts_file=/etc/hosts", f"hosts_file='{self.root}'/etc/hosts")
        text = text.replace(':/usr/local/sbin:/usr/sbin:/sbin:/snap/bin"', '"').replace(
            "/proc/version", "/dev/null"
        )
        script = self.root / "linux.sh"
        script.write_text(text)
        ran = subprocess.run(
            [shutil.which("sh") or "", str(script), *arguments],
            env={"HOME": str(self.home), "PATH": str(self.root / "bin"), "LOG": str(self.root / "log"), "ROOT": str(self.root),
                 **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert errors in ran.stderr if errors else ran.stderr == "" or not strict
        output = ran.stdout.replace(str(self.root), "")
        return ran.returncode, [line for line in output.splitlines() if line.split(":")[0] in STATES]

    def files(self) -> dict[str, str]:
        """Return every folder, link and file with its mode and digest."""
        found = {}
        for path in sorted(
            [*self.root.glob("etc/**/*"), *self.root.glob("var/**/*"), *self.home.glob("**/*")]
        ):
            what = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else digest(path)
            found[str(path)] = f"{path.lstat().st_mode:o} {what}"
        return found


STATES = {"ok", "missing", "old", "left", "note", "failed", "builder"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def home() -> str:
    return "ann"


@pytest.fixture
def machine(tmp_path: Path, home: str) -> Machine:
    """Debian with Docker, buildx, Podman and sudo, whose DNS knows no name."""
    machine = Machine(tmp_path, tmp_path / "home" / home)
    for folder in (machine.home, tmp_path / "bin", tmp_path / "etc/docker", tmp_path / "var/lib"):
        folder.mkdir(parents=True)
    machine.hosts.write_text("127.0.0.1 localhost\n")
    (tmp_path / "log").touch()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    for name, text in {
        "docker": DOCKER,
        "sudo": SUDO,
        "id": ID,
        "podman": "#!/bin/sh\n",
        "getent": "#!/bin/sh\nexit 2\n",
    }.items():
        machine.program(name, text)
    return machine


@pytest.mark.parametrize("home", ["ann", 'a n\'n $(x) "q" \\\\ ü'])
def test_one_command_does_all_and_the_second_nothing_and_removal_leaves_no_byte(machine: Machine) -> None:
    before = machine.files()
    code, lines = machine.run("--check")
    assert (code, [line.split(":")[0] for line in lines]) == (1, ["missing"] * 5)
    code, lines = machine.run("--yes")
    assert (code, [line.split(":")[0] for line in lines]) == (0, ["ok"] * 5)
    assert machine.cert("etc/docker").read_text() == PEM
    assert machine.cert("etc/docker").stat().st_mode & 0o777 == 0o644
    assert (machine.home / f".config/containers/certs.d/{NAME}/ca.crt").read_text() == PEM
    assert machine.hosts.read_text() == "127.0.0.1 localhost\n" + LINE
    assert machine.log.count("sudo ") == 1
    done = machine.files()
    assert machine.run("--check") == (0, lines)
    assert machine.run("--yes") == (0, lines)
    assert machine.files() == done
    assert machine.log.count("sudo ") == 1
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before
    assert machine.run("--remove") == (0, [])


def kinds(lines: list[str]) -> list[str]:
    return sorted(line.split(":")[0] for line in lines)


@pytest.mark.parametrize(
    ("hosts", "toml"),
    [
        ("127.0.0.1 localhost", "debug = true"),
        ("127.0.0.1 localhost\n", "debug = true\n"),
        ("\n\n# x\r\n127.0.0.1 localhost\r\n\n", '[registry."example.com"]\n  http = true\n\n'),
        ("", ""),
    ],
)
def test_files_of_the_user_s_get_their_bytes_back(machine: Machine, hosts: str, toml: str) -> None:
    machine.hosts.write_bytes(hosts.encode())
    machine.toml.parent.mkdir(parents=True)
    machine.toml.write_bytes(toml.encode())
    machine.toml.chmod(0o640)
    before = machine.files()
    assert machine.run("--yes", kit=CACHED)[0] == 0
    assert machine.run("--yes")[0] == 0  # the caches were turned off
    assert machine.toml.read_bytes().startswith(toml.encode())
    added = tomllib.loads(machine.toml.read_text())["registry"]
    path = f"{machine.home}/.docker/certs.d/{NAME}/ca.crt"
    assert {key: added[key] for key in added if key != "example.com"} == {NAME: {"ca": [path]}}
    assert machine.hosts.read_bytes().startswith(hosts.encode())
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before


@pytest.mark.parametrize("end", ["", "\n"])
def test_what_was_added_behind_our_text_stays(machine: Machine, end: str) -> None:
    machine.hosts.write_text("127.0.0.1 localhost")
    assert machine.run("--yes")[0] == 0
    with machine.hosts.open("a") as file:
        file.write(f"192.0.2.1 router{end}")
    machine.toml.write_text("debug = true\n" + machine.toml.read_text())
    assert machine.run("--yes")[0] == 0
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.hosts.read_text() == f"127.0.0.1 localhost\n192.0.2.1 router{end}"
    assert machine.toml.read_text() == "debug = true\n"


def test_during_a_rollover_both_cas_are_trusted_and_afterwards_the_new_one(machine: Machine) -> None:
    before = machine.files()
    for pem in (PEM, PEM + OTHER_PEM, OTHER_PEM):
        kit = replace(KIT, ca_pem=pem)
        assert machine.run("--check", kit=kit)[0] == 1
        assert machine.run("--yes", kit=kit)[0] == 0
        assert machine.cert("etc/docker").read_text() == pem
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before


def test_the_registry_s_new_address_and_name_replace_what_was_said_before(machine: Machine) -> None:
    before = machine.files()
    assert machine.run("--yes")[0] == 0
    kit = replace(
        KIT, address="192.0.2.11", names=[NAME, "nas.homelab.local"], endpoints=[NAME, "nas.homelab.local"]
    )
    assert machine.run("--yes", kit=kit)[0] == 0
    assert machine.hosts.read_text() == (
        f"127.0.0.1 localhost\n192.0.2.11 {NAME} nas.homelab.local # homelab-registry\n"
    )
    assert "nas.homelab.local" in tomllib.loads(machine.toml.read_text())["registry"]
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before


def test_what_is_trusted_already_is_left_alone(machine: Machine) -> None:
    """As on a host of the inventory, or with a bundle of the user's."""
    machine.cert("etc/docker").parent.mkdir(parents=True)
    machine.cert("etc/docker").write_text(OTHER_PEM + PEM.replace("\n", "\r\n"))
    machine.hosts.write_text(f"192.0.2.10 {NAME}\n")
    before = machine.files()
    assert machine.run()[0] == 0
    assert "sudo" not in machine.log
    assert machine.run("--remove") == (0, [])
    assert machine.files() == before


CONFLICTS = {
    "another CA": ("etc/docker/certs.d/{name}/ca.crt", OTHER_PEM, "left: /etc/docker/certs.d/{name}/ca.crt has another certificate: MII"),
    "a file that decides": (
        "etc/docker/certs.d/{name}/hosts.toml",
        'server = "x"\n',
        "left: /etc/docker/certs.d/{name}/hosts.toml decides there, and does not name ca.crt",
    ),
    "another address": (
        "etc/hosts",
        "127.0.0.1 localhost\n192.0.2.99  Nas {name}\n",
        "left: /etc/hosts gives {name} another address than 192.0.2.10, line 2: 192.0.2.99  Nas {name}",
    ),
    "a table of the user's": (
        "home/ann/.docker/buildx/buildkitd.default.toml",
        "[registry.'{name}']\nhttp = true\n",
        "left: /home/ann/.docker/buildx/buildkitd.default.toml has lines of yours about it: line 1:[registry.'{name}']",
    ),
    "a closed table": (
        "home/ann/.docker/buildx/buildkitd.default.toml",
        'registry = {{"x" = {{http = true}}}}\n',
        "left: /home/ann/.docker/buildx/buildkitd.default.toml has a table that nothing can be added to: line 1:registry = "
        '{{"x" = {{http = true}}}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_contradicts_is_quoted_and_not_overwritten(machine: Machine, name: str) -> None:
    path, text, line = (each.format(name=NAME) for each in CONFLICTS[name])
    file = machine.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    before = machine.files()
    code, lines = machine.run("--yes")
    (left,) = (each for each in lines if each.startswith("left"))
    assert (code, left.startswith(line)) == (1, True), left
    assert len([each for each in lines if each.startswith("ok")]) == len(lines) - 1
    assert file.read_text() == text
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before


def test_no_line_is_added_beside_one_with_another_address(machine: Machine) -> None:
    machine.hosts.write_text(f"192.0.2.99 {NAME}\n")
    code, lines = machine.run("--yes", kit=CACHED)
    assert (code, kinds(lines)) == (1, ["left", "ok", "ok", "ok", "ok"])
    assert machine.hosts.read_text() == f"192.0.2.99 {NAME}\n"


KILLING = """#!/bin/sh
echo x >> "$ROOT/moves"
[ "$(wc -l < "$ROOT/moves")" -eq "$KILL_AT" ] && kill -9 $PPID
exec {mv} "$@"
"""


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("move", [1, 3, 4])
def test_what_a_killed_run_did_is_finished_or_taken_back(machine: Machine, move: int, again: bool) -> None:
    """At the first file, and at root's; the last is the text that replaces what was said before."""
    before = machine.files()
    machine.program("mv", KILLING.format(mv=shutil.which("mv")))
    if move == 4:
        assert machine.run("--yes", KILL_AT="0")[0] == 0
        (machine.root / "moves").write_text("x\nx\nx\n")
    machine.run("--yes", kit=CACHED if move == 4 else KIT, errors="", strict=False, KILL_AT=str(move))
    if again:
        assert machine.run("--yes", kit=CACHED, KILL_AT="0")[0] == 0
    assert machine.run("--remove", "--yes", kit=CACHED, KILL_AT="0") == (0, [])
    assert machine.files() == before


def test_a_mirror_of_the_user_s_stays_and_the_others_are_used(machine: Machine) -> None:
    machine.toml.parent.mkdir(parents=True)
    machine.toml.write_text('[registry."docker.io"]\n  mirrors = ["mirror.gcr.io"]\n')
    for _ in range(2):
        code, lines = machine.run("--yes", kit=CACHED)
        assert (code, [each for each in lines if each.startswith("note")]) == (0, [
            "note: /home/ann/.docker/buildx/buildkitd.default.toml has lines of yours about docker.io, "
            "so builders do not ask the registry's cache of it"
        ])  # fmt: skip
    added = tomllib.loads(machine.toml.read_text())["registry"]
    assert added["docker.io"] == {"mirrors": ["mirror.gcr.io"]}
    assert added["ghcr.io"] == {"mirrors": ["mirror.homelab.local"]}
    assert added["mirror.homelab.local"] == added[NAME]


def test_what_the_user_changed_since_is_quoted_and_left(machine: Machine) -> None:
    assert machine.run("--yes")[0] == 0
    machine.cert("etc/docker").write_text(OTHER_PEM)
    machine.hosts.write_text(f"127.0.0.1 localhost\n192.0.2.12 {NAME} # homelab-registry\n")
    text = machine.toml.read_text().replace("ca =", "http = true\n  ca =")
    machine.toml.write_text(text)
    code, lines = machine.run("--remove", "--yes")
    assert code == 1
    assert [line.partition(" was changed since: ")[::2] for line in sorted(lines)] == [
        (f"left: /etc/docker/certs.d/{NAME}/ca.crt", f"{OTHER_PEM.splitlines()[1][:40]}..."),
        ("left: /etc/hosts", f"line 2:192.0.2.12 {NAME} # homelab-registry"),
        (
            "left: /home/ann/.docker/buildx/buildkitd.default.toml",
            f"line 1:# homelab-registry: what builders of buildx need for {NAME}",
        ),
    ]
    assert (machine.cert("etc/docker").read_text(), machine.toml.read_text()) == (OTHER_PEM, text)
    assert not (machine.home / ".config").exists()


def test_links_of_the_user_s_stay_links(machine: Machine) -> None:
    """As of those who keep their configuration in a repository; their home is a link too."""
    dotfiles = machine.root / "home/dotfiles"
    (dotfiles / "buildx").mkdir(parents=True)
    (dotfiles / "buildx/default.toml").write_text("debug = true\n")
    (machine.home / ".docker").mkdir()
    (machine.home / ".docker/buildx").symlink_to(dotfiles / "buildx")
    machine.toml.symlink_to("default.toml")
    link = machine.root / "home/link"
    link.symlink_to(machine.home)
    before = machine.files()
    there = Machine(machine.root, link)
    assert there.run("--yes")[0] == 0
    assert machine.toml.is_symlink()
    assert NAME in (dotfiles / "buildx/default.toml").read_text()
    assert there.run("--remove", "--yes") == (0, [])
    assert machine.files() == before
    assert (dotfiles / "buildx/default.toml").read_text() == "debug = true\n"


def test_without_a_yes_or_sudo_root_s_files_stay_and_the_user_s_are_done(machine: Machine) -> None:
    for words in ("not done without your yes", "no sudo"):
        if words == "no sudo":
            (machine.root / "bin/sudo").unlink()
        code, lines = machine.run()
        assert (code, kinds(lines)) == (1, ["failed", "missing", "missing", "ok", "ok", "ok"])
        (failed,) = (line for line in lines if line.startswith("failed"))
        assert words in failed
        assert failed.endswith("sh '/linux.sh' --system 'docker hosts '")
    assert "sudo" not in machine.log


def test_with_no_program_at_all_only_the_name_is_offered(machine: Machine) -> None:
    for name in ("docker", "podman"):
        (machine.root / "bin" / name).unlink()
    (machine.root / "etc/docker").rmdir()
    assert kinds(machine.run()[1]) == ["failed", "missing"]
    assert machine.run("--no-hosts") == (0, [])


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("192.0.2.10", f"ok: the address of {NAME}"),
        (
            "198.51.100.7",
            f"note: {NAME} has the address 198.51.100.7 here, and 192.0.2.10 for the registry itself",
        ),
    ],
)
def test_a_name_that_dns_knows_needs_no_line(machine: Machine, answer: str, line: str) -> None:
    machine.program("getent", f"#!/bin/sh\necho {answer} STREAM\n")
    assert line in machine.run("--yes")[1]
    assert machine.hosts.read_text() == "127.0.0.1 localhost\n"


@pytest.mark.parametrize(
    "parts",
    [("etc/containerd/certs.d",), ("var/snap/docker/current",), ("etc/containerd/certs.d", "etc/docker")],
)
def test_each_engine_that_is_there_gets_its_file(machine: Machine, parts: tuple[str, ...]) -> None:
    (machine.root / "etc/docker").rmdir()
    for part in parts:
        (machine.root / part).mkdir(parents=True)
    before = machine.files()
    assert machine.run("--yes")[0] == 0
    wanted = {
        "var/snap/docker/current": "var/snap/docker/current/etc/docker",
        "etc/containerd/certs.d": "etc/containerd",
    }
    found = {str(path) for path in machine.root.glob("*/**/ca.crt") if "home" not in path.parts}
    assert found == {str(machine.cert(wanted.get(part, part))) for part in parts}
    assert machine.run("--remove", "--yes") == (0, [])
    assert machine.files() == before


def test_a_rootless_docker_has_its_file_at_home_and_needs_no_sudo(machine: Machine) -> None:
    unit = machine.home / ".config/systemd/user/docker.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert machine.run("--no-hosts")[0] == 0
    assert machine.cert(f"home/{machine.home.name}/.config/docker").read_text() == PEM
    assert not machine.cert("etc/docker").exists()


def test_a_folder_that_nobody_may_write_into_is_named(machine: Machine) -> None:
    (machine.home / ".config").write_text("a file")
    code, lines = machine.run("--no-hosts", "--yes", errors="/.config': Not a directory")
    path = f"/home/ann/.config/containers/certs.d/{NAME}/ca.crt"
    assert code == 1
    assert {f"failed: {path}", f"missing: {path}"} <= set(lines)
    assert machine.run("--remove", "--yes") == (0, [])


def instance(
    name: str,
    ca_pem: str | None,
    *,
    driver: str = "docker-container",
    options: str = "null",
    more: str = "",
    flags: str = "null",
) -> str:
    """Return the file in which buildx keeps a builder."""
    files = "null"
    if ca_pem is not None:
        toml = base64.b64encode(f'[registry."{NAME}"]\n'.encode()).decode()
        files = f'{{"buildkitd.toml":"{toml}","certs/{NAME}/ca.crt":"{base64.b64encode(ca_pem.encode()).decode()}"}}'
    node = f'{{"Name":"{name}0","Endpoint":"unix:///var/run/docker.sock","Platforms":null,"DriverOpts":{options},"Flags":{flags},"Files":{files}}}'
    return f'{{"Name":"{name}","Driver":"{driver}","Nodes":[{node}{more}],"Dynamic":false}}'


BUILDERS = {
    "new": (instance("new", PEM), "no line", None),
    "remote": (instance("remote", None, driver="remote"), "no line", None),
    "plain": (
        instance("plain", None),
        "builder",
        "--driver docker-container --node plain0 unix:///var/run/docker.sock",
    ),
    "before": (
        instance("before", OTHER_PEM, options='{"image":"moby/buildkit:x","network":"host"}'),
        "builder",
        '--driver docker-container --node before0 --driver-opt "image=moby/buildkit:x" --driver-opt "network=host" '
        "unix:///var/run/docker.sock",
    ),
    "two": (instance("two", None, more=',{"Name":"two1","Endpoint":"x"}'), "builder", None),
    "flagged": (
        instance("flagged", None, flags='["--allow-insecure-entitlement=network.host","--debug"]'),
        "builder",
        "--driver docker-container --node flagged0 --buildkitd-flags --allow-insecure-entitlement=network.host --debug "
        "unix:///var/run/docker.sock",
    ),
    "quoted": (instance("quoted", None, options='{"env.X":"a\\"b"}'), "builder", None),
    "own": (
        instance("own", None).replace(
            '"Files":null', '"Files":{"buildkitd.toml":"' + base64.b64encode(b"debug = true").decode() + '"}'
        ),
        "builder",
        None,
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_builders_are_listed_and_recreated_on_request(machine: Machine, name: str) -> None:
    text, kind, again = BUILDERS[name]
    folder = machine.home / ".docker/buildx/instances"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    (folder.parent / "current").write_text(
        '{"Key":"unix:///var/run/docker.sock","Name":"plain","Global":false}'
    )
    code, lines = machine.run("--yes")
    said = f"builder: {name} was created before and does not trust {NAME}: --recreate-builders"
    assert (code == 1, said in lines) == (kind == "builder",) * 2
    assert "buildx" not in machine.log
    _, lines = machine.run("--yes", "--recreate-builders")
    if again is None:
        assert (
            any(line.startswith(f"left: the builder {name} ") for line in lines),
            "buildx" in machine.log,
        ) == (kind == "builder", False)
        return
    use = "--use " if name == "plain" else ""
    again = again.replace("unix:", f"{use}unix:")
    (probe,) = {word for word in machine.log.split() if word.startswith(f"{name}-probe")}
    assert machine.log.splitlines()[-4:] == [
        f"buildx create --name {probe} {again}",
        f"buildx rm --keep-state {probe}",
        f"buildx rm --keep-state {name}",
        f"buildx create --name {name} {again}",
    ]


def test_a_builder_that_cannot_be_created_again_is_not_removed(machine: Machine) -> None:
    folder = machine.home / ".docker/buildx/instances"
    folder.mkdir(parents=True)
    (folder / "plain").write_text(instance("plain", None, options='{"image":"refused"}'))
    assert "failed: the builder plain is as it was" in machine.run("--yes", "--recreate-builders")[1]
    assert "buildx rm" not in machine.log
