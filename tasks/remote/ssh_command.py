"""The `ssh` command that logs in as pyinfra does, to be run, or to be pasted into a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

OPTIONS = {
    "ssh_config_file": "-F",
    "ssh_port": "-p",
    "ssh_key": "-i",
    "ssh_known_hosts_file": "-o UserKnownHostsFile=",
    "ssh_strict_host_key_checking": "-o StrictHostKeyChecking=",
}
"""ssh(1)'s options for pyinfra's data of a host."""

FILES = ("ssh_config_file", "ssh_key", "ssh_known_hosts_file")
LOCAL = "@local"
"""This machine, which pyinfra reaches without SSH."""


def arguments(host: str, data: Mapping[str, object]) -> list[str]:
    """Return the words of the ssh command that reaches a host as pyinfra does, by its data."""
    options = []
    for key, option in OPTIONS.items():
        value = data.get(key)
        if value and not (key == "ssh_port" and str(value) == "22"):
            text = str(Path(str(value)).expanduser()) if key in FILES else str(value)
            letter, _, name = option.partition(" ")
            options += [letter, name + text]
    user = f"{data['ssh_user']}@" if data.get("ssh_user") else ""
    return ["ssh", *options, f"{user}{data.get('ssh_hostname') or host}"]


def ssh(host: str, data: Mapping[str, object]) -> str:
    """Return that command as it is pasted into a shell."""
    return shlex.join(arguments(host, data))


def try_login(host: str, data: Mapping[str, object]) -> str:
    """Return the command that shows whether a run can log in to a host and become root there."""
    if host == LOCAL:
        return "sudo -n true"
    user = data.get("ssh_user") or ("root" if os.geteuid() == 0 else "")
    return f"{ssh(host, data)} {'true' if user == 'root' else 'sudo -n true'}"
