"""Hosts of a new inventory, as they are typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tasks.init.hosts import FORM, NewHost, parse_host, parse_hosts, read_key
from tasks.remote import ssh_command


@pytest.mark.parametrize(
    ("text", "host", "data", "tried"),
    [
        ("pi", NewHost("pi", "pi"), {}, "ssh pi sudo -n true"),
        ("192.0.2.10", NewHost("192.0.2.10", "192.0.2.10"), {}, "ssh 192.0.2.10 sudo -n true"),
        ("root@pi", NewHost("pi", "pi", "root"), {"ssh_user": "root"}, "ssh root@pi true"),
        (
            "nas=admin@192.0.2.10:2222",
            NewHost("nas", "192.0.2.10", "admin", "2222"),
            {"ssh_hostname": "192.0.2.10", "ssh_user": "admin", "ssh_port": 2222},
            "ssh -p 2222 admin@192.0.2.10 sudo -n true",
        ),
        ("nas=fd00::1", NewHost("nas", "fd00::1"), {"ssh_hostname": "fd00::1"}, "ssh fd00::1 sudo -n true"),
        (
            "nas=a@[fd00::1]:22",
            NewHost("nas", "fd00::1", "a", "22"),
            {"ssh_hostname": "fd00::1", "ssh_user": "a", "ssh_port": 22},
            "ssh a@fd00::1 sudo -n true",
        ),
        ("@local", NewHost("@local", "@local"), {}, "sudo -n true"),
    ],
)
def test_a_host_as_it_is_typed(
    monkeypatch: pytest.MonkeyPatch, text: str, host: NewHost, data: dict[str, Any], tried: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = parse_host(text)
    assert found == host
    assert found.data == data
    assert ssh_command.try_login(found.name, found.data) == tried


@pytest.mark.parametrize(
    "text", ["", "a b", "nas=", "=pi", "@docker/x", "a@b@c", "-oProxyCommand=x", "pi;id", 'p"i', "a:b"]
)
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="is no host; write ") as stop:
        parse_host(text)
    assert str(stop.value) == f"{text!r} is no host; write {FORM}"


def test_a_host_in_several_groups_is_given_once() -> None:
    words = [
        "registry=nas=a@192.0.2.10",
        "docker_hosts=nas,pi",
        "cluster_nodes=k3s-1=192.0.2.21,pi",
        "cluster_control=k3s-1",
    ]
    assert parse_hosts(words) == [
        NewHost("nas", "192.0.2.10", "a", groups=("registry", "docker_hosts")),
        NewHost("pi", "pi", groups=("docker_hosts", "cluster_nodes")),
        NewHost("k3s-1", "192.0.2.21", groups=("cluster_nodes", "cluster_control")),
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["docker_hosts=pi"], "registry has 0 hosts (none); it must have exactly one"),
        (["registry=a,b"], "registry has 2 hosts (a, b); it must have exactly one"),
        (["registry=a", "cluster_control=a,b"], "cluster_control has 2 hosts (a, b); it must have at most one"),
        (["registry=nas=a@1.2.3.4", "docker_hosts=nas=b@1.2.3.4"],
         "nas is given twice, and differs; give it once, and then its name alone"),
        (["nodes=pi"], f"'nodes=pi' begins with no group; write GROUP={FORM}; groups are registry, docker_hosts, "
         "cluster_nodes, cluster_control, backup_hosts"),
        (["registry=pi:0"], "'pi:0' has a port that does not exist; write 1 to 65535"),
    ],
)  # fmt: skip
def test_what_is_no_inventory(words: list[str], line: str) -> None:
    with pytest.raises(ValueError) as stop:  # noqa: PT011 - the whole line is compared
        parse_hosts(words)
    assert str(stop.value) == line


def test_the_same_twice_is_no_contradiction() -> None:
    assert parse_hosts(["registry=nas=a@h", "docker_hosts=nas=a@h"]) == parse_hosts(
        ["registry=nas=a@h", "docker_hosts=nas"]
    )


def test_a_key_is_part_of_every_host_but_this_machine() -> None:
    nas, here = (parse_host(text).with_key("~/.ssh/lab") for text in ("nas=a@192.0.2.10", "@local"))
    assert nas.data == {"ssh_hostname": "192.0.2.10", "ssh_user": "a", "ssh_key": "~/.ssh/lab"}
    assert here.data == {}
    assert (
        ssh_command.try_login(nas.name, nas.data)
        == f"ssh -i {Path.home()}/.ssh/lab a@192.0.2.10 sudo -n true"
    )


def test_a_key_as_it_is_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "lab.pub").write_text("ssh-ed25519 AAAA me\n")
    assert [read_key(text) for text in ("", "~/lab", "lab")] == ["", "~/lab", f"{tmp_path}/lab"]
    for text, line in (
        ("none", "the SSH key none cannot be read: No such file or directory"),
        ("lab.pub", "lab.pub is no private SSH key; write lab"),
        (".", "the SSH key . cannot be read: Is a directory"),
    ):
        with pytest.raises(ValueError) as stop:  # noqa: PT011 - the whole line is compared
            read_key(text)
        assert str(stop.value) == line
