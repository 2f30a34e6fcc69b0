"""CRI-O and Podman (Buildah and Skopeo too): the CA for each name, which they read at every pull.

The folder is that of containers/image (containers-certs.d(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from tasks.clients import certs_d
from tasks.cluster_nodes import logins
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes.runtime import Runtime
from tasks.remote import files, toml_edit
from tasks.remote.source_lines import line_of
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tasks.settings.types import RuntimeName

CERTS = "/etc/containers/certs.d"
ROOT_CERTS = "/root/.config/containers/certs.d"
"""Looked up first, if it has a folder for a name at all (containers-certs.d(5))."""

CONFIG = "/etc/containers/registries.conf"
DROP_INS = "/etc/containers/registries.conf.d/*.conf"

CRIO = "/etc/crio/crio.conf"
CRIO_DROP_INS = "/etc/crio/crio.conf.d/*.conf"


class Podman(Runtime):
    """Podman, as root runs it."""

    name: RuntimeName = "podman"
    title = "Podman"
    login_file = logins.PODMAN

    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files and folders to look at."""
        return [*certs_d.paths(CERTS, endpoints), *(f"{ROOT_CERTS}/{endpoint}" for endpoint in endpoints)]

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read."""
        return [*certs_d.certificates(CERTS, endpoints), CONFIG, DROP_INS]

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
        endpoints = settings.endpoints
        certs_d.check(certs_d.certificates(CERTS, endpoints), found.texts)
        for endpoint in endpoints:
            if found.paths[path := f"{ROOT_CERTS}/{endpoint}"]:
                raise Conflict(
                    f"{path} is looked up before {CERTS}/{endpoint} when root pulls, and is not ours",
                    f"move it away (mv {path} {ROOT_CERTS}/old-{endpoint}) and run again",
                )
        for path, text in found.texts.items():
            if path.startswith(CONFIG):
                _check_secure(path, text, endpoints)
                _check_location(path, text, endpoints)
        return files.place(certs_d.wanted(CERTS, endpoints, target.ca_pem), found.paths)


class Crio(Podman):
    """CRI-O, which needs what Podman needs, and has a configuration of its own besides."""

    name = "crio"
    title = "CRI-O"
    units = ("crio.service",)
    login_file = logins.KUBELET

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read."""
        return [*super().texts(endpoints), CRIO, CRIO_DROP_INS]

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
        _check_crio(settings.endpoints, target.address, found.texts)
        return super().steps(settings, target, found)


def _check_crio(endpoints: Sequence[str], address: str, texts: Mapping[str, str]) -> None:
    """Raise `Conflict` if CRI-O's own configuration switches the check of our certificate off (crio.conf(5)).

    `address` is the registry's: CRI-O takes networks as well as names.
    """
    for path, text in texts.items():
        if not path.startswith(CRIO):
            continue
        for name in toml_edit.values_at(toml_edit.read(text, path), "crio", "image", "insecure_registries"):
            if any(_covers(str(name), ours) for ours in endpoints) or _holds(str(name), address):
                line = _line(text, str(name))
                raise Conflict(
                    f'{path} line {line} has "{name}" in insecure_registries, so CRI-O checks no '
                    f"certificate of {endpoints[0]}",
                    "take that out and run again",
                )


def _holds(network: str, address: str) -> bool:
    try:
        return "/" in network and ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _check_secure(path: str, text: str, endpoints: Sequence[str]) -> None:
    for name, line in _insecure(path, text):
        if ours := next((each for each in endpoints if _covers(name, each)), None):
            raise Conflict(
                f"{path} line {line} switches the check of certificates off for {ours} (insecure)",
                "take that out and run again",
            )


def _insecure(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Yield each name for which no certificate is checked, and the line (containers-registries.conf(5))."""
    says = toml_edit.read(text, path)
    entries = toml_edit.values_at(says, "registry")
    mirrors = [mirror for entry in entries for mirror in toml_edit.values_at(entry, "mirror")]
    for entry in [*entries, *mirrors]:
        if toml_edit.value_at(entry, "insecure") is True:
            for key in ("prefix", "location"):
                if name := str(toml_edit.value_at(entry, key) or ""):
                    yield name, _line(text, name)
    # Version 1 of the format.
    for name in toml_edit.values_at(says, "registries", "insecure", "registries"):
        yield str(name), _line(text, str(name))


def _check_location(path: str, text: str, endpoints: Sequence[str]) -> None:
    """Raise `Conflict` if pulls from our registry are refused, or go elsewhere (containers-registries.conf(5)).

    An entry is about images that begin with its prefix or, if it has none, with its location.
    """
    for index, entry in enumerate(toml_edit.values_at(toml_edit.read(text, path), "registry")):
        prefix, location = (str(toml_edit.value_at(entry, key) or "") for key in ("prefix", "location"))
        ours = next((each for each in endpoints if _covers(prefix or location, each)), None)
        if ours is None:
            continue
        if toml_edit.value_at(entry, "blocked") is True:
            key, problem = "blocked", f"has {ours} blocked"
        elif toml_edit.values_at(entry, "mirror"):
            key, problem = "mirror", f"has a mirror for {ours}, which would be asked first"
        elif location and location.partition("/")[0] not in endpoints:
            key, problem = "location", f"leads {ours} to another location"
        else:
            continue
        line = _line_in_entry(text, index, key, prefix or location)
        raise Conflict(f"{path} line {line} {problem}", "take that out and run again")


def _line_in_entry(text: str, index: int, key: str, name: str) -> int:
    """Return the line with a key, or a table, of the entry with an index; that with its name if entries are inline."""
    header = re.compile(r"^[ \t]*\[\[\s*registry\s*\]\]", re.MULTILINE)
    if index >= len(header.findall(text)):
        return _line(text, name)
    written = rf"^[ \t]*(?:[\"']?{key}[\"']?\s*=|\[\[\s*registry\s*\.\s*{key}\s*\]\])"
    return line_of(text, *[header] * (index + 1), re.compile(written, re.MULTILINE))


def _line(text: str, name: str) -> int:
    return line_of(text, re.compile(f"[\"']{re.escape(name)}[\"']"))


def _covers(name: str, endpoint: str) -> bool:
    """Return whether a prefix or location is about a registry: it, a part of it, or a pattern for its domain."""
    host = name.partition("/")[0]
    if host.startswith("*."):
        return endpoint.rpartition(":")[0].endswith(host[1:]) or endpoint.endswith(host[1:])
    return host == endpoint
