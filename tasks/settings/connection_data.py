"""What an inventory says about how hosts are connected to, checked before pyinfra makes connectors of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.connectors.ssh import SSHConnector

from tasks.settings.places import host_place, key_place
from tasks.settings.redact import printable, redacted

EXPECTED = {str: "a text", int: "a whole number", bool: "True or False", float: "a number", dict: "a dict"}
SECRETS = ("ssh_password", "ssh_key_password")
ANSIBLE = {
    "ansible_host": "ssh_hostname",
    "ansible_port": "ssh_port",
    "ansible_user": "ssh_user",
    "ansible_ssh_host": "ssh_hostname",
    "ansible_ssh_port": "ssh_port",
    "ansible_ssh_user": "ssh_user",
    "ansible_ssh_private_key_file": "ssh_key",
}
"""Ansible's names of what pyinfra's connector knows."""

LIKE = 0.75
"""How alike two keys are if one is a slip: `ssh_host` and `ssh_hostname` are 0.8."""


def find_problems(inventory: Inventory, path: str) -> list[str]:
    """Return a line for each host whose connector's data pyinfra would refuse, or use as nobody meant it."""
    return [line for host in inventory for line in (*_bad_keys(path, host), *_bad_address(path, host))]


def _bad_keys(path: str, host: Host) -> Iterator[str]:
    types: dict[str, Any] = get_type_hints(host.connector_cls.data_cls)
    data = host.data.dict()
    for key, value in data.items():
        if key in types and (expected := EXPECTED.get(types[key])) and not _is_of(value, types[key]):
            shown = "" if key in SECRETS else f" = {redacted(key, value)}"
            right = f", as in {int(value)}" if types[key] is int and str(value).isdecimal() else ""
            yield f"{key}{shown} ({_place(path, host, key)}): must be {expected}{right}"
        if not issubclass(host.connector_cls, SSHConnector):
            continue
        if meant := ANSIBLE.get(key):
            yield f"{key} ({_place(path, host, key)}): that is Ansible's; pyinfra's key is {meant}"
        if key.startswith("ssh_") and key not in types:
            for meant in difflib.get_close_matches(key, types.keys() - data.keys(), 1, LIKE):
                yield f"{key} ({_place(path, host, key)}): pyinfra has no such key; did you mean {meant}?"


def _is_of(value: object, expected: type) -> bool:
    if expected in {int, float} and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if expected is float else expected)


def _bad_address(path: str, host: Host) -> Iterator[str]:
    if not issubclass(host.connector_cls, SSHConnector):
        return
    own = host.data.get("ssh_hostname")
    target = own or host.name
    if not isinstance(target, str) or host.name.startswith("@"):
        return
    place = _place(path, host, "ssh_hostname") if own else host_place(path, host.name)
    shown, text = printable(target), target.strip()
    found = re.fullmatch(r"(?:ssh://)?(?:([^@\s/]+)@)?([^@:\s/]+|\[[0-9a-fA-F:]+\])(?::(\d+))?/?", text)
    address = found[2].strip("[]") if found else target
    if found and address != target:
        user, port = found[1], found[3]
        data = {"ssh_hostname": address} if own else {}
        data |= {"ssh_user": user} if user else {}
        right = ", ".join(f'"{key}": "{value}"' for key, value in data.items())
        right += f'{", " if right and port else ""}"ssh_port": {port}' if port else ""
        name = host.name if own else address
        written = f'("{printable(name)}", {{{right}}})' if right else f'"{printable(name)}"'
        yield f'{place}: "{shown}" is no name or address alone; write {written}'
    elif re.search(r"\s|/", target):
        yield (
            f'{place}: "{shown}" is no name that SSH can look up; write '
            f'("{printable(host.name)}", {{"ssh_hostname": "ADDRESS"}})'
        )


def _place(path: str, host: Host, key: str) -> str:
    if key in host.inventory.get_override_data():
        return "--data"
    return key_place(path, host.name, host.groups, key)
