"""The hosts of a new inventory, as they are given on the command line: `GROUP=NAME=USER@ADDRESS:PORT`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.remote.ssh_command import LOCAL
from tasks.settings.groups import GROUPS

FORM = "[NAME=][USER@]ADDRESS[:PORT], for example nas=admin@192.168.1.10, or @local"

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
_HOST = re.compile(
    rf"(?:(?P<name>{_NAME})=)?(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    rf"(?:\[(?P<bracketed>[0-9A-Fa-f:]+)\]|(?P<ipv6>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*)|(?P<address>{_NAME}))"
    r"(?P<port>:[0-9]{1,5})?",
    re.ASCII,
)


@dataclass(frozen=True)
class NewHost:
    """A host: how SSH reaches it, and the groups of the inventory that it is in. An empty field is SSH's default.

    `key` is the file of a private key.
    """

    name: str
    address: str
    user: str = ""
    port: str = ""
    groups: tuple[str, ...] = ()
    key: str = ""

    @property
    def data(self) -> dict[str, str | int]:
        """Its data in the inventory."""
        address = {} if self.address == self.name else {"ssh_hostname": self.address}
        user = {"ssh_user": self.user} if self.user else {}
        port: dict[str, str | int] = {"ssh_port": int(self.port)} if self.port else {}
        return {**address, **user, **port, **({"ssh_key": self.key} if self.key else {})}

    def with_key(self, key: str) -> NewHost:
        """Return the host with a key, unless it is this machine."""
        return self if self.name == LOCAL else replace(self, key=key)


def parse_host(text: str) -> NewHost:
    """Read `FORM`; `ValueError` with one line if it is another."""
    if text == LOCAL:
        return NewHost(LOCAL, LOCAL)
    found = _HOST.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no host; write {FORM}")
    address = found["bracketed"] or found["ipv6"] or found["address"]
    port = (found["port"] or "").removeprefix(":")
    if port and not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has a port that does not exist; write 1 to 65535")
    return NewHost(found["name"] or address, address, found["user"] or "", port)


def parse_hosts(words: Iterable[str]) -> list[NewHost]:
    """Read words such as `registry=nas=admin@192.168.1.10`; `ValueError` with one line if they are no inventory.

    A host that is in several groups is given once in full, and by its name after that.
    """
    found: dict[str, NewHost] = {}
    for word in words:
        group, is_given, text = word.partition("=")
        if not is_given or group not in GROUPS:
            raise ValueError(
                f"{word!r} begins with no group; write GROUP={FORM}; groups are {', '.join(GROUPS)}"
            )
        for each in text.split(","):
            host = found.get(each) or parse_host(each)
            if (
                host.name in found
                and host != found[host.name]
                and replace(host, groups=found[host.name].groups) != (found[host.name])
            ):
                raise ValueError(
                    f"{host.name} is given twice, and differs; give it once, and then its name alone"
                )
            groups = dict.fromkeys([*(found[host.name].groups if host.name in found else ()), group])
            found[host.name] = replace(host, groups=tuple(groups))
    check(found.values())
    return list(found.values())


def check(hosts: Iterable[NewHost]) -> None:
    """Raise `ValueError` unless one host is the registry's and at most one is in `cluster_control`."""
    hosts = list(hosts)
    for group, at_least in (("registry", 1), ("cluster_control", 0)):
        names = [host.name for host in hosts if group in host.groups]
        if len(names) not in {at_least, 1}:
            raise ValueError(
                f"{group} has {len(names)} hosts ({', '.join(names) or 'none'}); it must have "
                f"{'exactly' if at_least else 'at most'} one"
            )


def read_key(path: str) -> str:
    """Return the path of an SSH key as the inventory has it; `ValueError` with one line if it is no private key.

    pyinfra would look for a relative one in the project's folder. `~` is left to each run.
    """
    if not path:
        return ""
    file = Path(path).expanduser()
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ValueError(f"the SSH key {path} cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY-----" not in text:
        public = path.endswith(".pub")
        raise ValueError(
            f"{path} is no private SSH key" + (f"; write {path.removesuffix('.pub')}" if public else "")
        )
    return path if path.startswith("~") else os.path.abspath(file)
