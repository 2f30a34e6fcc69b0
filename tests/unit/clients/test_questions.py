"""The shell that asks, with fake programs: what they are called with, and what is asked if one is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from base64 import b64decode
from pathlib import Path

import pytest

from tasks.clients.operations import AnswersFact
from tasks.clients.questions import CANNOT_ASK, IMAGE, Question, of_mirror
from tasks.remote.fact_scripts import read_answer
from tasks.remote.users import User

NAME = "registry.homelab.local"
MIRROR = "mirror.homelab.local"
FAKE = '#!/bin/sh\necho "${0##*/} $*" >> {0}/calls\n{1}\n'
SAYS = "echo no basic auth credentials >&2; exit 1"


class Machine:
    """A search path with the programs that scripts need, and some fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        for name in ("sh", "env", "timeout", "mktemp", "rm", "tail", "base64", "sleep", "id"):
            (path,) = [path for path in (Path("/usr/bin") / name, Path("/bin") / name) if path.exists()][:1]
            (self.bin / name).symlink_to(path)

    def fake(self, name: str, does: str = SAYS) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)  # it may be a link to the real one
        path.write_text(FAKE.replace("{0}", str(self.folder)).replace("{1}", does))
        path.chmod(0o755)

    def listen(self) -> str:
        """Return a socket's path as a runtime's clients name it."""
        path = self.folder / "x.sock"
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
        return f"unix://{path}"

    def ask(self, *questions: Question) -> list[tuple[str, int, str]]:
        command = AnswersFact().command(list(questions)).replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": str(self.bin), "TMPDIR": str(self.folder), "HTTPS_PROXY": "http://p"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        answers = sorted(read_answer(done.stdout.splitlines()).all("answer"))
        return [(how, int(code), b64decode(text).decode()) for _, how, code, text in answers]

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def question(*words: str, host: str = NAME, user: User | None = None) -> Question:
    return Question("x", NAME, host, 5443, "/c/ca.crt", words, user=user)


def test_docker_is_asked_without_the_login_of_anybody(machine: Machine) -> None:
    machine.fake("docker", f'cat "$2/config.json" >&2; env >&2; {SAYS}')
    (machine.bin / "cat").symlink_to("/bin/cat")
    at = machine.listen()
    ((how, code, said),) = machine.ask(question("ask_docker", at))
    assert (how, code) == ("ask_docker", 1)
    assert '{"auths": {"homelab-registry.invalid": {}}}' in said  # it looks for no credential helper
    assert "HTTPS_PROXY" not in said
    (call,) = machine.calls
    assert call.split()[3:] == ["-H", at, "pull", "-q", f"{NAME}/{IMAGE}"]
    assert not Path(call.split()[2]).exists()  # the folder with that file


def test_a_rootless_engine_is_asked_as_its_user(machine: Machine) -> None:
    machine.fake("setsid", 'shift; exec "$@"')
    machine.fake("setpriv", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    user = User("ci", 4242, 4243, "/home/ci")
    asked = question("ask_docker", "unix:///nowhere/docker.sock", user=user)
    assert [(how, code) for how, code, _ in machine.ask(asked)] == [("run_as", 98)]
    assert any("setpriv --reuid=4242 --regid=4243 --init-groups" in call for call in machine.calls)


def test_an_engine_or_a_runtime_that_does_not_run_is_not_asked(machine: Machine) -> None:
    for each in ("docker", "crictl", "curl"):
        machine.fake(each)
    asked = [question(function, "unix:///nowhere/x.sock", "crictl") for function in ("ask_docker", "ask_cri")]
    assert [code for _, code, _ in machine.ask(*asked)] == [98, 98]
    assert machine.calls == []


def test_the_first_client_of_the_cri_that_is_there_asks(machine: Machine) -> None:
    machine.fake("k3s")
    machine.fake("crictl")
    at = machine.listen()
    machine.ask(question("ask_cri", at, "/nowhere/crictl", "k3s crictl", "crictl"))
    assert machine.calls == [f"k3s crictl -r {at} -i {at} pull {NAME}/{IMAGE}"]


def test_podman_is_asked_with_an_empty_login(machine: Machine) -> None:
    machine.fake("podman")
    assert machine.ask(question("ask_podman")) == [("ask_podman", 1, "no basic auth credentials")]
    assert machine.calls[0].startswith("podman pull -q --authfile ")


@pytest.mark.parametrize(
    ("host", "at", "check"),
    [
        (NAME, NAME, f"-verify_hostname {NAME}"),
        ("192.168.1.10", "192.168.1.10", "-verify_ip 192.168.1.10"),
        ("fd00::1", "[fd00::1]", "-verify_ip fd00::1"),
    ],
)
def test_without_a_client_a_tls_client_asks_with_the_very_file(
    machine: Machine, host: str, at: str, check: str
) -> None:
    asked = question("ask_cri", machine.listen(), "crictl", host=host)
    assert [code for _, code, _ in machine.ask(asked)] == [99]
    machine.fake("openssl")
    assert [how for how, _, _ in machine.ask(asked)] == ["ask_tls"]
    expected = f"openssl s_client -connect {at}:5443 -servername {host} {check} -verify_return_error"
    assert machine.calls == [f"{expected} -CAfile /c/ca.crt -no-CApath"]
    machine.fake("curl")
    machine.ask(asked)
    assert "--noproxy * " in machine.calls[1]
    assert machine.calls[1].endswith(
        f"--cacert /c/ca.crt --capath /nonexistent -o /dev/null https://{at}:5443/v2/"
    )


@pytest.mark.parametrize(("endpoint", "at"), [(MIRROR, f"{MIRROR}:443"), (f"{MIRROR}:5443",) * 2])
def test_the_caches_are_asked_with_the_very_file_that_a_runtime_reads(
    machine: Machine, endpoint: str, at: str
) -> None:
    asked = of_mirror("x", endpoint, MIRROR, 443, "/c/ca.crt")
    assert [code for _, code, _ in machine.ask(asked)] == [CANNOT_ASK]
    (machine.bin / "grep").symlink_to("/bin/grep")
    for said, expected in (("200 OK", 0), ("403 Forbidden", 22)):
        machine.fake("openssl", f"echo 'depth=0'; printf 'HTTP/1.1 {said}\\r\\n\\r\\n{{}}'")
        ((how, code, words),) = machine.ask(asked)
        assert (how, code) == ("ask_mirror", expected)
        assert code == 0 or words.strip() == "HTTP/1.1 403 Forbidden"
    machine.fake("openssl", "echo 'verify error:num=20' >&2; exit 1")
    assert machine.ask(asked) == [("ask_mirror", 1, "verify error:num=20")]
    assert machine.calls[-1] == (
        f"openssl s_client -quiet -connect {at} -servername {MIRROR} -verify_hostname {MIRROR} "
        "-verify_return_error -CAfile /c/ca.crt -no-CApath"
    )
    machine.fake("curl", "echo 'curl: (22) The requested URL returned error: 403' >&2; exit 22")
    assert [code for _, code, _ in machine.ask(asked)] == [22]
    assert machine.calls[-1].endswith(
        f"--cacert /c/ca.crt --capath /nonexistent -o /dev/null https://{endpoint}/v2/"
    )


def test_the_caches_are_not_asked_by_a_way_that_the_runtime_does_not_go(machine: Machine) -> None:
    machine.fake("curl", "exit 0")
    assert machine.ask(of_mirror("x", MIRROR, MIRROR, 443, "/ca.crt", proxy="/etc/environment")) == [
        ("ask_proxied", 1, "")
    ]


def test_a_name_that_was_not_known_a_moment_ago_is_asked_for_again(machine: Machine) -> None:
    """Go reads /etc/hosts again after five seconds."""
    first = machine.folder / "first"
    machine.fake("podman", f"[ -e {first} ] && {{ {SAYS}; }}; : > {first}; echo no such host >&2; exit 125")
    machine.fake("sleep", "")
    assert machine.ask(question("ask_podman")) == [("ask_podman", 1, "no basic auth credentials")]
    assert [call.partition(" -q")[0] for call in machine.calls] == ["podman pull", "sleep 6", "podman pull"]


def test_all_are_asked_at_once(machine: Machine) -> None:
    machine.fake("podman", f"{os.path.realpath('/bin/sleep')} 1; {SAYS}")
    began = time.monotonic()
    assert len(machine.ask(*[question("ask_podman")] * 5)) == 5
    assert time.monotonic() - began < 4
