"""The two files of a new inventory: their text, and writing them once the project has read them without a complaint."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.init.hosts import NewHost
from tasks.init.probe import Found
from tasks.settings.groups import GROUPS
from tasks.settings.load import SettingsError

COMMENTS = {
    "registry": "The one host that serves the images.",
    "docker_hosts": "Hosts with Docker Engine that trust the registry.",
    "cluster_nodes": "Nodes of a cluster, and other hosts that pull. The container runtime is detected.",
    "cluster_control": "The host with kubectl and administrator rights, for the pull secrets.",
    "backup_hosts": "Other hosts that keep backups of the images.",
}

NOT_NAMES = {*GROUPS, "all"}
"""Files of group data with these names are not read as one inventory's."""


def check_name(name: str) -> None:
    """Raise `ValueError` if an inventory cannot have this name."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name, re.ASCII) or name in NOT_NAMES:
        raise ValueError(
            f"an inventory cannot be named {name!r}; use letters, digits, - and _, and no group's name"
        )


def render(
    name: str, hosts: Sequence[NewHost], found: Mapping[str, Found], registry_name: str
) -> dict[str, str]:
    """Return the text of each file by its path below the folder of inventories; `found` is by a host's name."""
    return {
        f"group_data/{name}.py": _group_data(name, registry_name),
        f"{name}.py": _inventory(name, hosts, found),
    }


def _inventory(name: str, hosts: Sequence[NewHost], found: Mapping[str, Found]) -> str:
    lines = [f'"""The hosts of {name}. Settings go into group_data/{name}.py."""']
    written: set[str] = set()
    for group, comment in COMMENTS.items():
        members = [host for host in hosts if group in host.groups]
        if not members:
            continue
        lines += ["", f"# {comment}", f"{group} = ["]
        for host in members:
            titles = found[host.name].titles if host.name in found and host.name not in written else []
            data = {} if host.name in written else host.data
            entry = f"({json.dumps(host.name)}, {json.dumps(data)})" if data else json.dumps(host.name)
            lines.append(f"    {entry}," + (f"  # has {', '.join(titles)}" if titles else ""))
            written.add(host.name)
        lines.append("]")
    return "\n".join(lines) + "\n"


def _group_data(name: str, registry_name: str) -> str:
    return f'''"""Settings of inventories/{name}.py; docs/settings.md lists every key."""

registry_hostname = {json.dumps(registry_name)}

# registry_port = 5443                              # if 443 is in use
# registry_storage_path = "/mnt/disk/registry"      # on a larger disk
# registry_login_users = {{"deploy": "ci"}}           # users of Docker hosts, each with an account
'''


def problems(name: str, texts: Mapping[str, str], folder: Path) -> list[str]:
    """Return what the project's own reader of settings says of the files, a line for each mistake."""
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import read  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch:
        _write(Path(scratch), texts)
        try:
            read(f"{scratch}/{name}.py")
        except SettingsError as error:
            return [line.replace(scratch, str(folder)) for line in error.problems]
    return []


def existing(folder: Path, name: str) -> list[str]:
    """Return which of the files of an inventory there are already."""
    paths = [folder / f"{name}.py", folder / f"group_data/{name}.py"]
    return [str(path) for path in paths if path.exists() or path.is_symlink()]


def write(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write the files, none of which may exist (`FileExistsError`); return their paths."""
    return _write(folder, texts)


def _write(folder: Path, texts: Mapping[str, str]) -> list[str]:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("x") as file:
            file.write(text)
    return [str(folder / path) for path in texts]
