"""What makes a Docker Engine check no certificate of ours, or look elsewhere for the CA than we put it.

The rules are the engine's own: moby, `daemon/pkg/registry/config.go` (insecure registries), and containerd,
`core/remotes/docker/config/hosts.go` (folders and `hosts.toml`, which the containerd image store reads).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from tasks.certificates.name_constraints import parse_address
from tasks.remote import json_edit
from tasks.remote.source_lines import line_at, line_of
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

KEY = "insecure-registries"
FLAG = "--insecure-registry"
SKIP_VERIFY = re.compile(r"^\s*(skip_verify\s*=\s*true\b.*)", re.MULTILINE)


def check_configuration(path: str, text: str, settings: Settings, address: str) -> None:
    """Raise `Conflict` where a `daemon.json` takes our registry for insecure, or is broken."""
    entries = json_edit.read(text, path).get(KEY)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str) and (what := _takes(entry, settings, address)):
            line = line_of(text, f'"{KEY}"', f'"{entry}"')
            raise Conflict(
                f'{path} line {line} has "{entry}" in {KEY}, so Docker checks no certificate of {what}',
                "take it out, restart Docker there, and run again",
            )


def check_arguments(pid: str, arguments: list[str], settings: Settings, address: str) -> None:
    """Raise `Conflict` where a running engine was started with our registry as an insecure one."""
    for entry in values_of(FLAG, arguments):
        if what := _takes(entry, settings, address):
            raise Conflict(
                f"dockerd (pid {pid}) runs with {FLAG} {entry}, so it checks no certificate of {what}",
                "take it out of its unit (systemctl cat docker), restart Docker there, and run again",
            )


def values_of(flag: str, arguments: list[str]) -> Iterator[str]:
    """Yield what a flag was given, as `--flag value` or `--flag=value`."""
    for number, argument in enumerate(arguments):
        if argument == flag and number + 1 < len(arguments):
            yield arguments[number + 1]
        elif argument.startswith(f"{flag}="):
            yield argument.removeprefix(f"{flag}=")


def check_hosts_toml(path: str, text: str) -> None:
    """Raise `Conflict` for a `hosts.toml` beside our CA, which the containerd image store would read alone."""
    if found := SKIP_VERIFY.search(text):
        raise Conflict(
            f"{path} line {line_at(text, found.start(1))} says {found[1].rstrip()!r}, "
            "so no certificate is checked there",
            f"move it away (mv {path} {path}.old) and run again",
        )
    if text.strip():
        raise Conflict(
            f"{path} is there, with which Docker's containerd image store ignores the ca.crt beside it",
            f"move it away (mv {path} {path}.old) and run again",
        )


def _takes(entry: str, settings: Settings, address: str) -> str | None:
    """Return which name of ours an entry makes insecure: its host with our port or none, or a network around it."""
    _, _, rest = entry.rpartition("://")
    try:
        network = ipaddress.ip_network(rest, strict=False) if "/" in rest else None
    except ValueError:
        network = None
    for name in settings.server_names:
        at = parse_address(name) or ipaddress.ip_address(address)
        if network and at in network:
            return f"{name} ({at})" if str(at) != name else name
        if rest.lower() in _spellings(name, settings.registry_port):
            return name
    return None


def _spellings(name: str, port: int) -> Iterable[str]:
    hosts = [name, f"[{name}]"] if ":" in name else [name]
    return [host + end for host in hosts for end in ("", f":{port}")]
