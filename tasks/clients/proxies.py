"""Proxies that a runtime would ask for our registry, as its process was started.

The rules are Go's, which all runtimes but Podman's own configuration share (golang.org/x/net/http/httpproxy): for
`https` only HTTPS_PROXY counts, and NO_PROXY is a list of names, addresses and networks.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.remote.fact_scripts import Answer

PREFIX = "CONTAINERD_"
"""K3s and RKE2 hand a variable with this prefix to their containerd without it (k3s: `pkg/agent/containerd`)."""

# The value of HTTPS_PROXY may hold a password, and it is enough to know that there is one.
EMIT = r"""
emit_proxy() { # NAME PID: the variables that a process has about proxies, and the file of its unit that sets them
    variables=$(tr '\n\0' ' \n' 2>/dev/null < "/proc/$2/environ" |
        sed -n 's/^\(CONTAINERD_\)\{0,1\}\([Hh][Tt][Tt][Pp][Ss]_[Pp][Rr][Oo][Xx][Yy]\)=..*/\1\2=set/p
            /^\(CONTAINERD_\)\{0,1\}[Nn][Oo]_[Pp][Rr][Oo][Xx][Yy]=/p')
    case $variables in (*=set*) ;; (*) return 0 ;; esac
    unit=$(sed -n 's|.*/\([^/]*[.]service\)$|\1|p' "/proc/$2/cgroup" | head -n 1)
    files=$(systemctl show -p DropInPaths -p EnvironmentFiles -p FragmentPath "$unit" 2>/dev/null |
        sed 's/^[^=]*=//; s/ (ignore_errors=[a-z]*)//')
    file=$(grep -ils 'https_proxy' $files /etc/default/docker /etc/environment /etc/systemd/system.conf | head -n 1)
    printf 'proxy|%s|%s|%s\n' "$1" "$file" "$(printf '%s' "$variables" | base64 -w 0)"
}
"""


@dataclass(frozen=True)
class ProxySettings:
    """The variables of a process about proxies, with HTTPS_PROXY's value left out, and the `file` that sets them."""

    variables: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    def value(self, name: str, prefix: str = "") -> str:
        """Return a variable as Go's `getEnvAny` does: in capitals if it is not empty, else in small letters."""
        spelled = [f"{start}{each}" for start in dict.fromkeys((prefix, "")) for each in (name, name.lower())]
        return next((self.variables[each] for each in spelled if self.variables.get(each)), "")

    def way(self, host: str, port: int, prefix: str = "") -> str | None:
        """Return where a proxy is set that is asked for a host, None if it is asked directly."""
        if not self.value("HTTPS_PROXY", prefix) or bypassed(self.value("NO_PROXY", prefix), host, port):
            return None
        return self.file or "its environment"


def read(answer: Answer) -> dict[str, ProxySettings]:
    """Return what `emit_proxy` printed of processes, by the names that it was given."""
    found = {}
    for name, *file, text in answer.all("proxy"):
        pairs = (line.partition("=") for line in b64decode(text).decode(errors="replace").splitlines())
        variables = {variable: value for variable, equals, value in pairs if equals}
        found[name] = ProxySettings(variables, "|".join(file))
    return found


def bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Return whether a NO_PROXY value excludes a host, given without brackets, from the proxy (`config.useProxy`)."""
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host.lower(), address, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, address: Address | None, port: int) -> bool:
    if entry in {"", "*"}:
        return entry == "*"
    if re.search("/[0-9]+$", entry) and (network := _network(entry)):
        return address is not None and address in network
    name, only = _split_port(entry)
    if not name:
        return False
    if listed := _address(name):
        return listed == address and only in {"", str(port)}
    name = name.removeprefix("*") if name.startswith("*.") else name
    domain = name if name.startswith(".") else f".{name}"
    covered = host.endswith(domain) or (domain != name and host == name)
    return address is None and covered and only in {"", str(port)}


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, str]:
    """Split as Go's `net.SplitHostPort`; an entry that it refuses is all host."""
    if found := re.fullmatch(r"\[([^\[\]]*)\]:([^:\[\]]*)|([^:\[\]]*):([^:\[\]]*)", entry):
        return (found[1], found[2]) if found[1] is not None else (found[3], found[4])
    return entry, ""
