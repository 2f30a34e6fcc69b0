"""Configuration that makes a Docker Engine skip the check of our certificate, or ignore the CA that we install.

The rules are the engine's own: moby, `daemon/pkg/registry/config.go` (insecure registries), and containerd,
`core/remotes/docker/config/hosts.go` (folders and `hosts.toml`, which the containerd image store reads).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from tasks.certificates.name_constraints import parse_address
from tasks.docker_hosts.engines import values_of
from tasks.registry import cache
from tasks.remote import json_edit
from tasks.remote.source_lines import line_at, line_of
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

KEY = "insecure-registries"
FLAG = "--insecure-registry"
SKIP_VERIFY = re.compile(r"^\s*(skip_verify\s*=\s*true\b.*)", re.MULTILINE)


def check_configuration(path: str, text: str, settings: Settings, address: str) -> None:
    """Raise `Conflict` if a `daemon.json` declares our registry insecure, or is not JSON."""
    entries = json_edit.read(text, path).get(KEY)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str) and (what := _covered_name(entry, settings, address)):
            line = line_of(text, f'"{KEY}"', f'"{entry}"')
            raise Conflict(
                f'{path} line {line} has "{entry}" in {KEY}, so Docker checks no certificate of {what}',
                "remove it, restart Docker there, and run again",
            )


def check_arguments(pid: str, arguments: list[str], settings: Settings, address: str) -> None:
    """Raise `Conflict` if a running engine was started with our registry as an insecure one."""
    for entry in values_of(FLAG, arguments):
        if what := _covered_name(entry, settings, address):
            raise Conflict(
                f"dockerd (pid {pid}) runs with {FLAG} {entry}, so it checks no certificate of {what}",
                "remove it from its unit (systemctl cat docker), restart Docker there, and run again",
            )


def check_hosts_toml(path: str, text: str) -> None:
    """Raise `Conflict` for a `hosts.toml` beside our CA: the containerd image store would then ignore the CA."""
    if found := SKIP_VERIFY.search(text):
        raise Conflict(
            f"{path} line {line_at(text, found.start(1))} says {found[1].rstrip()!r}, "
            "so no certificate is checked there",
            f"move it away (mv {path} {path}.old) and run again",
        )
    if text:  # one byte is enough (`loadHostDir`)
        raise Conflict(
            f"{path} exists, so Docker's containerd image store ignores the ca.crt beside it",
            f"move it away (mv {path} {path}.old) and run again",
        )


def _covered_name(entry: str, settings: Settings, address: str) -> str | None:
    """Return which of our names an entry makes insecure: the name itself, with or without our port, or its network."""
    _, _, rest = entry.rpartition("://")
    try:
        network = ipaddress.ip_network(rest, strict=False) if "/" in rest else None
    except ValueError:
        network = None
    for name in cache.server_names(settings):
        at = parse_address(name) or ipaddress.ip_address(address)
        if network and at in network:
            return f"{name} ({at})" if str(at) != name else name
        if rest.lower() in _spellings(name, settings.registry_port):
            return name
    return None


def _spellings(name: str, port: int) -> Iterable[str]:
    hosts = [name, f"[{name}]"] if ":" in name else [name]
    return [host + end for host in hosts for end in ("", f":{port}")]
