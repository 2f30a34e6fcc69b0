"""The facts' output: complete, or rejected. The shell functions run in a real sh on real files, and what they report
is compared with what Python sees."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import socket
import stat
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.cluster_nodes.facts import ClusterNodeFact
from tasks.cluster_nodes.node import Node
from tasks.docker_hosts.engines import DockerHost
from tasks.docker_hosts.facts import DockerHostFact
from tasks.docker_hosts.logins import Home
from tasks.registry import cache, containers, leaf
from tasks.registry import desired as layout
from tasks.registry.address import Addresses
from tasks.registry.facts import RegistryFact
from tasks.registry.image_age import Built, Debian
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Mount, Place, Record
from tasks.registry.usage import Measured
from tasks.remote.fact_scripts import PREAMBLE, Answer, emit_paths, read_answer, script
from tasks.remote.files import Observed
from tasks.run.machines import MachineFact
from tasks.settings.load import Settings
from tasks.storage.facts import StorageFact

EMPTY = hashlib.sha256(b"").hexdigest()
KINDS: dict[Callable[[int], bool], str] = {
    stat.S_ISDIR: "directory",
    stat.S_ISREG: "regular file",
    stat.S_ISLNK: "symbolic link",
    stat.S_ISFIFO: "fifo",
    stat.S_ISSOCK: "socket",
}


def sh(script: str, shell: str = "sh") -> list[str]:
    """Run a fact's script, and return its lines; any output on standard error fails the test."""
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def reported(paths: Iterable[str], shell: str = "sh") -> dict[str, Observed | None]:
    return read_answer(sh(f"{PREAMBLE}{emit_paths(paths)}\necho end", shell)).paths


def seen(path: Path) -> Observed | None:
    """What Python sees at a path; a link's content is that of the file it points to."""
    if not os.path.lexists(path):
        return None
    status = path.lstat()
    kind = next(kind for is_kind, kind in KINDS.items() if is_kind(status.st_mode))
    if kind == "regular file" and not status.st_size:
        kind = "regular empty file"
    return Observed(
        kind,
        f"{stat.S_IMODE(status.st_mode):o}",
        status.st_uid,
        status.st_gid,
        float(f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09}"),
        status.st_ino,
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
    )


# An answer.


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (["end"], {}),
        (["a|1", "end"], {"a": [["1"]]}),
        (["a|1|2", "b|", "a|3", "end"], {"a": [["1", "2"], ["3"]], "b": [[""]]}),
        (["", "a", "", "end", ""], {"a": [[]]}),
        (["end|1", "end"], {"end": [["1"]]}),
        (["end", "end"], {"end": [[]]}),
    ],
)
def test_a_complete_answer_is_read_by_key(output: list[str], lines: dict[str, list[list[str]]]) -> None:
    assert read_answer(output) == Answer(lines)


@pytest.mark.parametrize(
    "output",
    [[], [""], ["a|1"], ["a|1", "en"], ["a|1", "END"], ["end", "a|1"], ["end "], [" end"], ["end|"], ["a|end"]],
    ids=str,
)  # fmt: skip
def test_an_answer_without_its_end_is_rejected(output: list[str]) -> None:
    with pytest.raises(FactProcessError, match=r"^the answer was cut short$"):
        read_answer(output)


def test_keys_that_occur_once_and_often() -> None:
    answer = read_answer(["once|a|b|", "empty|", "bare", "often|1", "often|2|3", "end"])
    assert [answer.one(key) for key in ("once", "empty", "bare", "often", "none")] == [
        "a|b|",
        "",
        "",
        "1",
        None,
    ]
    assert [answer.all(key) for key in ("once", "often", "none")] == [
        [["a", "b", ""]],
        [["1"], ["2", "3"]],
        [],
    ]


def test_a_path_that_is_missing_differs_from_one_that_was_not_requested() -> None:
    file = "path|/a b|regular file|4755|1|2|1700000000.123456789|42"
    answer = read_answer(
        ["path|/gone", file, "path|/dir|directory|700|0|0|1.000000000|7", "sum|/a b|ab", "end"]
    )
    assert answer.paths == {
        "/gone": None,
        "/a b": Observed("regular file", "4755", 1, 2, 1700000000.123456789, 42, "ab"),
        "/dir": Observed("directory", "700", 0, 0, 1.0, 7, None),
    }
    assert "/other" not in answer.paths


# The paths, reported by a real shell.

NAMES = [
    "plain", "with space", " leading and trailing ", "it's", 'a"b', "$HOME", "`id`", "$(id)", "*", "?", "[a]", "~",
    "a\\nb", "a\\", "%s", "-rf", "--", "#x", "a;b", "a&b", "!x", "é", "日本", "a\tb", "[fd00::1]:5443",
    ".ca.crt.homelab-new",
]  # fmt: skip


def test_names_of_all_kinds_are_reported_as_they_are(tmp_path: Path) -> None:
    files = [tmp_path / name for name in NAMES]
    for file in files:
        file.write_text(file.name)
    gone = [tmp_path / f"{name} gone" for name in NAMES]
    found = reported(map(str, [*files, *gone]))
    assert found == {str(path): seen(path) for path in [*files, *gone]}
    assert len([each for each in found.values() if each]) == len(NAMES)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_files_of_all_kinds_are_reported_as_python_sees_them(tmp_path: Path, shell: str) -> None:
    def make(name: str) -> Path:
        return tmp_path / name

    make("folder").mkdir(mode=0o700)
    make("sticky").mkdir()
    make("sticky").chmod(0o1777)
    make("empty").touch(mode=0o600)
    make("text").write_text("content\n")
    make("no newline").write_bytes(b"content")
    make("binary").write_bytes(bytes(range(256)) * 512)
    make("setuid").write_text("x")
    make("setuid").chmod(0o4755)
    make("no rights").write_text("x")
    make("other owner").write_text("x")
    if os.geteuid() == 0:  # as on hosts, where a mode keeps nothing from being read
        make("no rights").chmod(0)
        os.chown(make("other owner"), 12345, 54321)
    make("old").write_text("x")
    os.utime(make("old"), ns=(0, 1_234_567_890_987_654_321))
    make("whole second").write_text("x")
    os.utime(make("whole second"), (0, 1_700_000_000))
    make("link").symlink_to("text")
    make("link to folder").symlink_to("folder")
    make("dangling").symlink_to("nowhere")
    make("loop").symlink_to("loop")
    os.mkfifo(make("fifo"), 0o644)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(make("socket")))
        paths = sorted(tmp_path.iterdir())
        found = reported(map(str, paths), shell)
    assert found == {str(path): seen(path) for path in paths}
    assert len(found) == 17
    # And literally, in case Python and stat(1) err alike.
    empty, link, dangling = (found[str(make(name))] for name in ("empty", "link", "dangling"))
    assert empty
    assert (empty.kind, empty.mode, empty.sha256) == ("regular empty file", "600", EMPTY)
    assert link
    assert (link.kind, link.sha256) == ("symbolic link", hashlib.sha256(b"content\n").hexdigest())
    assert dangling
    assert (dangling.kind, dangling.sha256) == ("symbolic link", None)
    old = found[str(make("old"))]
    assert old
    assert old.modified == 1_234_567_890.987_654_321


def test_no_paths_no_answer() -> None:
    assert reported([]) == {}


def test_the_language_of_the_host_changes_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may have one locale only, so the test checks which one a command is given."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    language = "stat() { sh -c 'echo \"path|/|$LC_ALL|755|0|0|1.0|1\"'; }"
    assert reported([str(tmp_path)])[str(tmp_path)] == seen(tmp_path)
    assert sh(f"{PREAMBLE}{language}\n{emit_paths(['/'])}") == ["path|/|C|755|0|0|1.0|1"]


@pytest.mark.parametrize(("failing", "reported_lines"), [("stat", 0), ("sha256sum", 2)])
def test_a_command_that_fails_ends_the_answer_before_its_end(
    tmp_path: Path, failing: str, reported_lines: int
) -> None:
    (tmp_path / "file").write_text("x")
    failed = f"{PREAMBLE}{failing}() {{ return 1; }}\n"
    output = sh(f"{failed}{emit_paths([str(tmp_path), str(tmp_path / 'file')])}\necho end")
    assert len(output) == reported_lines
    with pytest.raises(FactProcessError, match=r"^the answer was cut short$"):
        read_answer(output)


def test_a_script_that_fails_half_way_prints_only_the_error() -> None:
    """pyinfra would print the output until then."""
    failing = script("echo 'text|/a|c2VjcmV0'", "echo complaint >&2; exit 1", "echo 'path|/b'")
    done = subprocess.run(["sh", "-c", failing], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "complaint\n")
    assert sh(script("echo 'path|/b'", "false")) == ["path|/b", "end"]


# The registry host's answer.

STATE = '{"Name": "a|b", "State": {"Running": true}}'
REGISTRY = [
    "path|/etc/homelab-registry|directory|755|0|0|1.500000000|3",
    "path|/var/lib/homelab-registry",
    "route|eth0|192.168.1.10",
    "has|eth0|192.168.1.10",
    "has|wg0|10.8.0.2",
    "interface|eth0|1",
    "interface|wg0|65534",
    "mount|/var/lib/homelab-registry|/ /dev/sda1 ext4 rw,relatime",
    "folder|/var/lib/homelab-registry|docker/",
    "mark|/var/lib/homelab-registry|" + "ab" * 16,
    "images|/var/lib/homelab-registry|3",
    "mount|/mnt/old|",
    f"record|{b64encode(Record('/mnt/old', 'cd' * 16, '/mnt').text.encode()).decode()}",
    f"installed|{b64encode(b'INSTALLED').decode()}",
    f"served|{b64encode(b'SERVED').decode()}",
    "listener|nginx (pid 7)",
    "handshake|yes",
    "engine|running",
    f"container|homelab-registry|{STATE}",
    "inside|homelab-registry|/config|11",
    "inside|homelab-registry|/run|12",
    "image|registry:1|sha256:ab|2026-11-28T19:48:29.809340945Z|libc6=2.36-9,nginx=1:1.22.1-9+b1",
    "image|pulled:1|sha256:cd|2026-01-01T00:00:00Z|",
    "candidate|libc6|2.36-9",
    "candidate|nginx|1:1.22.1-9+b2",
    "candidate|gone|(none)",
    "asked|1798000000",
    "network|bridge",
    "network|homelab-registry",
    "end",
]


LEAST = ["installed|", "served|", "listener|", "engine|absent", "end"]


def test_the_registry_host_s_whole_answer() -> None:
    assert RegistryFact().process(REGISTRY) == RegistryHost(
        addresses=Addresses(
            ("eth0", "192.168.1.10"), {"192.168.1.10": "eth0", "10.8.0.2": "wg0"}, frozenset({"wg0"})
        ),
        paths={
            "/etc/homelab-registry": Observed("directory", "755", 0, 0, 1.5, 3, None),
            "/var/lib/homelab-registry": None,
        },
        engine="running",
        containers={"homelab-registry": {"Name": "a|b", "State": {"Running": True}}},
        images={"registry:1": "sha256:ab", "pulled:1": "sha256:cd"},
        built={
            "registry:1": Built(
                dt.datetime(2026, 11, 28, 19, 48, 29, 809340, dt.UTC),
                {"libc6": "2.36-9", "nginx": "1:1.22.1-9+b1"},
            )
        },
        debian=Debian(
            {"libc6": "2.36-9", "nginx": "1:1.22.1-9+b2"}, dt.datetime.fromtimestamp(1798000000, dt.UTC)
        ),
        networks=frozenset({"bridge", "homelab-registry"}),
        inside={("homelab-registry", "/config"): 11, ("homelab-registry", "/run"): 12},
        listener="nginx (pid 7)",
        installed="INSTALLED",
        served="SERVED",
        handshake=True,
        places={
            "/var/lib/homelab-registry": Place(
                Mount("/", "/dev/sda1", "ext4"),
                exists=True, entries=("docker",), mark="ab" * 16, repositories=3,
            ),
            "/mnt/old": Place(),
        },
        storage=Record("/mnt/old", "cd" * 16, "/mnt"),
    )  # fmt: skip


def test_the_least_that_a_registry_host_tells() -> None:
    assert RegistryFact().process(LEAST) == RegistryHost()


@pytest.mark.parametrize("kept", range(len(REGISTRY)))
def test_the_registry_host_s_answer_that_is_cut_anywhere_is_none(kept: int) -> None:
    with pytest.raises(FactProcessError, match=r"^the answer was cut short$"):
        RegistryFact().process(REGISTRY[:kept])


def test_the_registry_fact_s_script_is_sound() -> None:
    script = RegistryFact().command(Settings(), ["there"], [])
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


STUBS = {
    "ip": 'case "$*" in "-4 route get 192.0.2.1") echo "192.0.2.1 via 10.0.0.1 dev eth0 src 10.0.0.7 uid 0" ;; esac',
    "openssl": """cat >/dev/null
case "$*" in (*172.18.0.2:8443*) what=INNER ;; (*) what=SERVED ;; esac
printf 'x\\n-----BEGIN CERTIFICATE-----\\n%s\\n-----END CERTIFICATE-----\\ny\\n' $what""",
    "iptables-save": """echo '-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER'
echo '-A DOCKER ! -i br-1 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.18.0.2:8443'
echo '-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 80,443 -j CNI-DN-1'
echo '-A CNI-DN-1 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.42.0.8:443'
echo '-A DOCKER -p tcp -m tcp --dport 4430 -j DNAT --to-destination 172.18.0.3:443'""",
    "nft": "echo '    tcp dport 443 redirect to :9443'; echo '    tcp dport 443 counter dnat to 172.18.0.2:8443'",
    "ss": """echo 'LISTEN 0 511 *:443 *:* users:(("nginx",pid=7,fd=6),("nginx",pid=8,fd=6))'""",
    "apt-cache": """[ "$*" = "policy libc6 nginx" ] || exit 1
printf 'libc6:\\n  Installed: (none)\\n  Candidate: 2.36\\n  Version table:\\n     2.36 500\\n        500 http://x Packages\\n'
printf 'nginx:\\n  Installed: 1.0\\n  Candidate: 1:1.23\\n  Version table:\\n *** 1.0 100\\n'""",
    "docker": """[ "$DOCKER_HOST $DOCKER_CONFIG" = "unix:///var/run/docker.sock /nonexistent" ] || exit 9
case " $FAILING " in (*" $1 "*) echo no >&2; exit "$CODE" ;; esac
case "$*" in
    version) ;;
    'ps -aq --no-trunc --filter name=^/?(homelab-registry|homelab-registry-gateway|homelab-registry-keeper|homelab-registry-cache|homelab-registry-metrics)(-next|-former)?$')
        echo c0ffee; [ -z "$BOTH" ] || echo beef ;;
    'container inspect -f {{.Name}}|{{.State.Pid}}|{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}|{{json .}} c0ffee'*)
        echo '/homelab-registry|0||{"Id": "c0|fee\\u003c"}'
        [ -z "$BOTH" ] || echo '/homelab-registry-gateway|0|172.18.0.2|{"Id": "beef","Running":true,"Networks":{"homelab-registry":{}}}' ;;
    'image inspect -f {{.Id}}|{{.Created}}|{{index .Config.Labels "homelab-registry.packages"}} there')
        echo 'sha256:ab|2026-11-28T19:48:29.809340945Z|nginx=1.22,libc6=2.36' ;;
    'image inspect -f {{.Id}}|{{.Created}}|{{index .Config.Labels "homelab-registry.packages"}} there there-too')
        echo 'sha256:ab|2026-11-28T19:48:29.809340945Z|nginx=1.22'; echo 'sha256:cd|2026-01-01T00:00:00Z|' ;;
    'network ls --format network|{{.Name}}') echo 'network|bridge' ;;
    *) exit 1 ;;
esac""",
}
"""The commands that ask the host; all else that the script runs is real."""

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for /etc/homelab-registry, with a certificate and its key."""
    certificate = tmp_path / leaf.FOLDER / "0123456789abcdef.pem"
    certificate.parent.mkdir(parents=True)
    (tmp_path / leaf.LINK).symlink_to(certificate.name)
    key = "-----BEGIN PRIVATE KEY-----\nK\n-----END PRIVATE KEY-----\n"
    certificate.write_text(PEM.format("INSTALLED") + key)
    monkeypatch.setattr(layout, "FOLDER", str(tmp_path))
    return tmp_path


def registry_host(
    folder: Path, *, both: bool = False, failing: str = "", code: int = 1, second: str = "not-there"
) -> RegistryHost:
    """Run the script. The stub of docker has one of the two containers, or `both`, and ends `failing` calls with `code`."""
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    for name, body in STUBS.items():
        (stubs / name).write_text(f"#!/bin/sh\n{body}\n")
        (stubs / name).chmod(0o755)
    settings = Settings(registry_storage_path=str(folder / "images"))
    done = subprocess.run(
        ["sh", "-c", RegistryFact().command(settings, ["there", second], [])],
        env={
            "PATH": f"{stubs}:{os.environ['PATH']}",
            "FAILING": failing, "CODE": str(code), "BOTH": "yes" if both else "",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "-----BEGIN PRIVATE" not in done.stdout
    assert not done.returncode or done.stderr == "no\n"
    return RegistryFact().process(done.stdout.splitlines())


def test_the_registry_fact_s_script_with_an_engine_that_is_a_stub(folder: Path) -> None:
    found = registry_host(folder)
    assert found == RegistryHost(
        addresses=replace(found.addresses, default=("eth0", "10.0.0.7")),
        places=found.places,
        usage=found.usage,
        paths={path: seen(Path(path)) if Path(path).exists() else None for path in found.paths},
        engine="running",
        containers={"homelab-registry": {"Id": "c0|fee<"}},
        images={"there": "sha256:ab"},
        built=found.built,
        debian=found.debian,
        networks=frozenset({"bridge"}),
        inside={},
        listener="nginx (pid 7)",
        leaf="0123456789abcdef.pem",
        installed=PEM.format("INSTALLED"),
        served=PEM.format("SERVED"),
        handshake=True,
        rules=RULES,
    )


RULES = (
    "-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 80,443 -j CNI-DN-1",
    "-A CNI-DN-1 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.42.0.8:443",
    "tcp dport 443 redirect to :9443",
)
"""Those of the stubs' NAT rules that take port 443 and are not Docker's own."""


def test_another_certificate_on_the_port_is_told_with_the_gateway_s_own_and_the_rules(folder: Path) -> None:
    found = registry_host(folder, both=True)
    assert (found.inner, found.rules) == ({"homelab-registry-gateway": PEM.format("INNER")}, RULES)
    (folder / leaf.LINK).write_text(PEM.format("SERVED"))
    found = registry_host(folder, both=True)
    assert (found.inner, found.rules) == ({}, ())


def test_the_link_to_the_registry_s_socket_is_told(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / layout.SOCKET).symlink_to("b.sock")
    assert registry_host(folder).links == {containers.REGISTRY: "b.sock", cache.NAME: None}
    (folder / cache.RUN).mkdir()
    (folder / cache.LINK).symlink_to("a.sock")
    assert registry_host(folder).links == {containers.REGISTRY: "b.sock", cache.NAME: "a.sock"}


def test_how_full_the_disk_is_and_what_the_keeper_measured(folder: Path) -> None:
    found = registry_host(folder).usage
    disk = os.statvfs(folder)
    assert found is not None
    assert found.measured is None
    assert found.size == disk.f_frsize * disk.f_blocks
    assert 0 < found.free < found.size
    assert abs(found.now - time.time()) < 60
    (folder / "gateway/limit").mkdir()
    (folder / "gateway/limit/figures").write_text("123456789012 1800000000 1800000370\n")
    found = registry_host(folder).usage
    assert found is not None
    assert found.measured == Measured(123456789012, 1800000000, 1800000370)


def test_what_an_image_was_built_of_and_what_there_is_now(folder: Path) -> None:
    found = registry_host(folder, second="there-too")
    at = dt.datetime(2026, 11, 28, 19, 48, 29, 809340, dt.UTC)
    assert found.built == {"there": Built(at, {"nginx": "1.22"})}
    assert found.debian.candidates == {}
    assert found.debian.asked is not None


def test_apt_is_asked_for_the_packages_of_all_images(folder: Path) -> None:
    found = registry_host(folder)
    assert found.built["there"].packages == {"nginx": "1.22", "libc6": "2.36"}
    assert found.debian.candidates == {"libc6": "2.36", "nginx": "1:1.23"}


def test_every_path_of_ours_is_asked_for(folder: Path) -> None:
    killed = folder / leaf.FOLDER / ".fedcba9876543210.pem.homelab-new"
    killed.write_text("half")
    found = registry_host(folder).paths
    leaves = {str(folder / leaf.FOLDER / "0123456789abcdef.pem"), str(killed)}
    asked = set(layout.paths(Settings(registry_storage_path=str(folder / "images"))))
    assert set(found) == asked | leaves
    assert {path for path, observed in found.items() if observed} == leaves | {
        str(folder), str(folder / "gateway"), str(folder / leaf.FOLDER), str(folder / leaf.LINK),
    }  # fmt: skip


def test_the_leaf_of_an_earlier_gateway_is_read(folder: Path) -> None:
    (folder / leaf.LINK).unlink()
    (folder / leaf.FOLDER / "0123456789abcdef.pem").rename(folder / leaf.FIRST)
    found = registry_host(folder)
    assert (found.leaf, found.installed) == ("", PEM.format("INSTALLED"))
    assert found.paths[str(folder / leaf.FIRST)]


def test_images_that_are_all_there_are_each_told_with_their_own_id(folder: Path) -> None:
    assert registry_host(folder, second="there-too").images == {
        "there": "sha256:ab",
        "there-too": "sha256:cd",
    }


def test_both_containers_are_told_by_one_call_and_their_network_with_them(folder: Path) -> None:
    found = registry_host(folder, both=True, failing="network")
    assert found.containers == {
        "homelab-registry": {"Id": "c0|fee<"},
        "homelab-registry-gateway": {
            "Id": "beef",
            "Running": True,
            "Networks": {"homelab-registry": {}},
        },
    }
    assert found.networks == {"homelab-registry"}


@pytest.mark.parametrize(("failing", "code", "engine"), [("ps version", 1, "absent"), ("ps", 124, "silent")])
def test_where_the_engine_does_not_answer_nothing_is_said_of_containers(
    folder: Path, failing: str, code: int, engine: str
) -> None:
    found = registry_host(folder, failing=failing, code=code)
    assert (found.engine, found.containers, found.networks) == (engine, {}, frozenset())
    assert found.served == PEM.format("SERVED")


@pytest.mark.parametrize("failing", ["ps", "container", "network"])
def test_a_question_to_the_engine_that_fails_ends_the_answer_before_its_end(
    folder: Path, failing: str
) -> None:
    with pytest.raises(FactProcessError, match=r"^the answer was cut short$"):
        registry_host(folder, failing=failing)


def test_a_certificate_that_is_no_text_is_told_as_the_damaged_thing_it_is() -> None:
    """As after a disk's fault; an error here would keep the run from writing it again."""
    damaged = b64encode(b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n").decode()
    whole = [f"installed|{damaged}", *LEAST[1:]]
    assert RegistryFact().process(whole).installed.split() == [
        "-----BEGIN",
        "CERTIFICATE-----",
        "�",
        "-----END",
        "CERTIFICATE-----",
    ]


@pytest.mark.parametrize(
    ("fact", "lines"),
    [
        (MachineFact, ["time|hunter2"]),
        (RegistryFact, ["installed|hunter2hunter2x"]),
        (RegistryFact, ["container|x|hunter2"]),
        (RegistryFact, ["image|hunter2"]),
        (RegistryFact, ["path|/a|hunter2"]),
        (DockerHostFact, ["daemon|hunter2"]),
        (DockerHostFact, ["engine|hunter2"]),
        (DockerHostFact, ["rootless|hunter2"]),
        (DockerHostFact, ["rootless|ci|1000|1000|/w==|/home/ci"]),
        (DockerHostFact, ["user|ci|hunter2|1000|/w==|/home/ci"]),
        (DockerHostFact, ["user|ci|1000|1000|/w==|/home/ci"]),
        (DockerHostFact, ["hosts|hunter2hunter2x"]),
        (ClusterNodeFact, ["started|k3s.service|hunter2|7"]),
        (ClusterNodeFact, ["data|hunter2"]),
        (StorageFact, ["tags|hunter2"]),
        (StorageFact, ["whole|", "tags|hunter2"]),
    ],
)
def test_an_answer_that_makes_no_sense_is_none_and_is_not_quoted(
    fact: type[FactBase[Any]], lines: list[str]
) -> None:
    """It ends that host's run: an error of another kind would end all hosts'."""
    with pytest.raises(FactProcessError, match=r"^the answer is malformed$") as stop:
        fact().process([*lines, "end"])
    assert stop.value.__suppress_context__


@pytest.mark.parametrize("name", ["/a|b", "/|", "/a|b|c"])
def test_a_bar_in_the_name_of_a_text_is_its_own(name: str) -> None:
    assert read_answer([f"text|{name}|eHg=", "end"]).texts == {name: "xx"}


@pytest.mark.parametrize("kind", [Node, DockerHost, Home])
def test_what_files_of_a_host_say_shows_in_no_repr(kind: Any) -> None:
    """They may hold passwords, and a test that fails shows the values it has."""
    assert {each.name: each.repr for each in fields(kind)}["texts"] is False
