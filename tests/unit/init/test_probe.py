"""What is said of a host that was tried."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.init import probe
from tasks.init.hosts import NewHost
from tasks.init.probe import describe, look, read
from tasks.run.machines import NO_RIGHTS

HOST = NewHost("nas", "192.0.2.10", "admin")
TRY = "try it: ssh admin@192.0.2.10 sudo -n true"


def no_rights(error: str) -> str:
    return f"sudo|{b64encode(error.encode()).decode()}\nrights|none\nend\n"


@pytest.mark.parametrize(
    ("output", "errors", "line"),
    [
        ("rights|root\nruntime|k3s\nruntime|containerd\nend\n", "", "logged in, root; K3s"),
        ("rights|sudo\nruntime|containerd\nruntime|podman\nruntime|docker\nend\n", "", "logged in, root by sudo; Podman, Docker"),
        ("runtime|kubelet\nrights|root\nruntime|containerd\nruntime|docker\nend\n", "", "logged in, root; containerd, Docker"),
        ("rights|root\nend\n", "a banner\n", "logged in, root; no container runtime"),
        ("", "Warning: added\r\nadmin@192.0.2.10: Permission denied (publickey).\r\n",
         f"admin@192.0.2.10: Permission denied (publickey); {TRY}"),
        ("rights|root\n", "", f"exit code 255; {TRY}"),
        ("", "\x1b[2Jcleared", f"\\x1b[2Jcleared; {TRY}"),
        (no_rights("sudo: a password is required"), "",
         f"neither root nor passwordless sudo; {NO_RIGHTS}; {TRY}"),
        (no_rights("sh: sudo: not found"), "",
         f"neither root nor passwordless sudo (sh: sudo: not found); log in as root, or install sudo there; {TRY}"),
    ],
)  # fmt: skip
def test_one_line_of_a_host(output: str, errors: str, line: str) -> None:
    assert describe(HOST, read(HOST, 255, output, errors)) == f"nas: {line}"


@pytest.mark.parametrize(
    ("runtimes", "groups"),
    [
        ((), ("docker_hosts",)),
        (("docker",), ("docker_hosts",)),
        (("podman", "docker"), ("docker_hosts",)),
        (("k3s",), ("cluster_nodes",)),
        (("containerd", "docker"), ("docker_hosts", "cluster_nodes")),
        (("podman",), ()),
    ],
)
def test_what_such_a_host_usually_is(runtimes: tuple[str, ...], groups: tuple[str, ...]) -> None:
    assert probe.Found(runtimes).groups == groups


def test_this_machine_is_asked_by_the_same_script() -> None:
    found = look(NewHost("@local", "@local"))
    assert found.rights in {"root", "sudo"} or found.problem.startswith("neither root nor passwordless sudo")


def test_without_ssh_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert look(HOST).problem == "there is no ssh on this machine to try it with; install openssh-client"


def test_a_login_with_a_key_is_tried_with_that_key_alone() -> None:
    tried = probe._command(replace(HOST, key="~/.ssh/lab", port="22"))
    assert tried == [
        "ssh", *probe.OPTIONS, "-o", "IdentitiesOnly=yes", "-i", f"{Path.home()}/.ssh/lab", "admin@192.0.2.10", "sh",
    ]  # fmt: skip
    assert "IdentitiesOnly=yes" not in probe._command(HOST)
