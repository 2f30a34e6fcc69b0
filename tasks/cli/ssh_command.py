"""The `ssh` command that logs in as pyinfra does, to be pasted into a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

OPTIONS = {
    "ssh_config_file": "-F {}",
    "ssh_port": "-p {}",
    "ssh_key": "-i {}",
    "ssh_known_hosts_file": "-o UserKnownHostsFile={}",
    "ssh_strict_host_key_checking": "-o StrictHostKeyChecking={}",
}
"""ssh(1)'s options for pyinfra's data of a host."""

FILES = ("ssh_config_file", "ssh_key", "ssh_known_hosts_file")


def ssh(host: str, data: Mapping[str, object]) -> str:
    """Return the ssh command that reaches a host as pyinfra did, by its data."""
    options = [
        option.format(shlex.quote(_path(str(value)) if key in FILES else str(value)))
        for key, option in OPTIONS.items()
        if (value := data.get(key)) and not (key == "ssh_port" and str(value) == "22")
    ]
    user = f"{data['ssh_user']}@" if data.get("ssh_user") else ""
    return " ".join(["ssh", *options, shlex.quote(f"{user}{data.get('ssh_hostname') or host}")])


def try_login(host: str, data: Mapping[str, object]) -> str:
    """Return the command that shows whether a run can log in to a host and become root there."""
    user = data.get("ssh_user") or ("root" if os.geteuid() == 0 else "")
    return f"{ssh(host, data)} {'true' if user == 'root' else 'sudo -n true'}"


def _path(path: str) -> str:
    return str(Path(path).expanduser())
