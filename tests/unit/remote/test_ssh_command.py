"""The one builder of `ssh` commands: what runs, what `make init` tries, and what people paste are the same."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tasks.remote.ssh_command import arguments, ssh, try_login


@pytest.mark.parametrize(
    ("data", "command"),
    [
        ({}, "ssh nas"),
        ({"ssh_hostname": "192.0.2.10", "ssh_user": "admin"}, "ssh admin@192.0.2.10"),
        ({"ssh_hostname": "192.0.2.10", "ssh_port": 22}, "ssh 192.0.2.10"),
        ({"ssh_hostname": "fd00::10", "ssh_port": "2222", "ssh_user": "op"}, "ssh -p 2222 op@fd00::10"),
        ({"ssh_key": "keys/my key"}, "ssh -i 'keys/my key' nas"),
        (
            {"ssh_key": "~/.ssh/lab", "ssh_config_file": "lab.conf"},
            f"ssh -F lab.conf -i {Path.home()}/.ssh/lab nas",
        ),
        (
            {"ssh_known_hosts_file": "known", "ssh_strict_host_key_checking": "yes"},
            "ssh -o UserKnownHostsFile=known -o StrictHostKeyChecking=yes nas",
        ),
        ({"ssh_password": "secret", "ssh_user": None}, "ssh nas"),
    ],
)
def test_the_ssh_command_reaches_a_host_as_pyinfra_did(data: dict[str, object], command: str) -> None:
    assert ssh("nas", data) == command
    assert shlex.split(command) == arguments("nas", data)


@pytest.mark.parametrize(
    ("host", "data", "uid", "command"),
    [
        ("nas", {}, 1000, "ssh nas sudo -n true"),
        ("nas", {}, 0, "ssh nas true"),
        ("nas", {"ssh_user": "root"}, 1000, "ssh root@nas true"),
        ("nas", {"ssh_user": "me"}, 0, "ssh me@nas sudo -n true"),
        ("@local", {}, 1000, "sudo -n true"),
    ],
)
def test_what_to_type_to_try_a_login(
    monkeypatch: pytest.MonkeyPatch, host: str, data: dict[str, object], uid: int, command: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert try_login(host, data) == command
