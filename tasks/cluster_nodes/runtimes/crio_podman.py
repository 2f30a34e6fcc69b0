"""CRI-O and Podman (Buildah and Skopeo too): the CA for each name, which they read at every pull.

The folder is that of containers/image (containers-certs.d(5)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from tasks.clients import certs_d
from tasks.cluster_nodes import logins
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import registries_conf, registries_drop_in
from tasks.cluster_nodes.runtimes.runtime import Runtime
from tasks.remote import files, toml_edit
from tasks.remote.source_lines import line_of
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tasks.settings.types import RuntimeName

CERTS = "/etc/containers/certs.d"
ROOT_CERTS = "/root/.config/containers/certs.d"
"""Looked up first, if it has a folder for a name at all (containers-certs.d(5))."""

CRIO = "/etc/crio/crio.conf"
CRIO_DROP_INS = "/etc/crio/crio.conf.d/*.conf"


class Podman(Runtime):
    """Podman, as root runs it."""

    name: RuntimeName = "podman"
    title = "Podman"
    login_file = logins.PODMAN

    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files and folders to look at."""
        return [
            *certs_d.paths(CERTS, endpoints),
            *(f"{ROOT_CERTS}/{endpoint}" for endpoint in endpoints),
            *registries_drop_in.PATHS,
        ]

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read."""
        return [*certs_d.certificates(CERTS, endpoints), registries_conf.CONFIG, registries_conf.DROP_INS]

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
        mirror, endpoints = target.mirror, _endpoints(settings, target)
        certs_d.check(certs_d.certificates(CERTS, endpoints), found.texts)
        for endpoint in endpoints:
            if found.paths[path := f"{ROOT_CERTS}/{endpoint}"]:
                raise Conflict(
                    f"{path} is looked up before {CERTS}/{endpoint} when root pulls, and is not ours",
                    f"move it away (mv {path} {ROOT_CERTS}/old-{endpoint}) and run again",
                )
        registries_conf.check(found.texts, endpoints)
        if mirror:
            registries_drop_in.check(mirror, found.paths, found.texts)
        placed = files.place(certs_d.wanted(CERTS, endpoints, target.ca_pem), found.paths)
        return placed + registries_drop_in.steps(mirror, CERTS, found.paths, found.texts, _reload(found))


def _endpoints(settings: Settings, target: NodeTarget) -> Sequence[str]:
    """Return where certificates are checked with our CA: the registry's endpoints, and that of the caches."""
    return [*settings.endpoints, target.mirror.endpoint] if target.mirror else settings.endpoints


def _reload(found: Node) -> str:
    """Return the command with which CRI-O reads `registries.conf` again (crio(8), SIGHUP); Podman does at each pull."""
    return f"systemctl reload {Crio.units[0]}" if Crio.units[0] in found.started else ""


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
        _check_crio(_endpoints(settings, target), target.address, found.texts)
        return super().steps(settings, target, found)


def _check_crio(endpoints: Sequence[str], address: str, texts: Mapping[str, str]) -> None:
    """Raise `Conflict` if CRI-O's own configuration switches the check of our certificate off (crio.conf(5)).

    `address` is the registry's: CRI-O takes whole names and networks (its `isSecureIndex`).
    """
    for path, text in texts.items():
        if not path.startswith(CRIO):
            continue
        for name in toml_edit.values_at(toml_edit.read(text, path), "crio", "image", "insecure_registries"):
            if name in endpoints or _holds(str(name), address):
                line = line_of(text, re.compile(f"[\"']{re.escape(str(name))}[\"']"))
                raise Conflict(
                    f'{path} line {line} has "{name}" in insecure_registries, so CRI-O checks no '
                    f"certificate of {name if name in endpoints else endpoints[0]}",
                    "take that out and run again",
                )


def _holds(network: str, address: str) -> bool:
    try:
        return "/" in network and ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
