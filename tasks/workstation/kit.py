"""The workstation kit: what a machine outside of the inventory needs to push and pull, as texts of files.

Nothing in it is secret. The CA is inside the scripts, so that no machine has to fetch it over a connection that it
cannot check yet.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.certificates import ca, rollover
from tasks.certificates.name_constraints import parse_address
from tasks.clients import mirrors
from tasks.registry import address, cache
from tasks.remote.templates import environment
from tasks.settings.load import Settings
from tasks.state.files import StateError
from tasks.state.store import State

CERTS = "/etc/containerd/certs.d"
"""Where a node of kind has the kit's folder `certs.d`."""

SCRIPTS = ("linux.sh", "macos.sh", "windows.ps1")
FILES = (*SCRIPTS, "buildkitd.default.toml", "kind.yaml", "k3d-registries.yaml", "README.md")
"""The files that have templates of their own."""


@dataclass(frozen=True)
class Kit:
    """What the files say of a registry.

    `endpoints` are all that clients use, the first of which is `registry`; `names` are the DNS names that must lead to
    `address`. `mirror` is the endpoint of the caches of `upstreams`, "" if there are none. `account` is one that may
    push, if there is one. `ca_pem` has both CAs during a rollover.
    """

    registry: str
    endpoints: Sequence[str]
    names: Sequence[str]
    address: str
    account: str
    ca_pem: str
    mirror: str = ""
    upstreams: Sequence[str] = ()
    hosts_toml: Sequence[tuple[str, str]] = ()

    @property
    def fingerprints(self) -> list[str]:
        """The SHA-256 of each CA's certificate, as `openssl x509 -fingerprint -sha256` has it, without colons."""
        return [hashlib.sha256(der).hexdigest() for der in _certificates(self.ca_pem)]

    @property
    def sha1(self) -> str:
        """The name of the last CA's certificate in the trust stores of macOS and Windows."""
        return hashlib.sha1(_certificates(self.ca_pem)[-1]).hexdigest().upper()  # noqa: S324


def folder_of(endpoint: str) -> str:
    """Return the name of an endpoint's folder without the colon before its port, which no name on Windows may have.

    containerd and Docker on Windows look for it (containerd's hosts.go, `hostDirectory`; moby, `cleanPath`).
    """
    host, _, port = endpoint.rpartition(":")
    return f"{host}_{port}_" if host and port.isdigit() else endpoint


def kit(settings: Settings, state: State, now: dt.datetime) -> Kit:
    """Return what the kit says, by the settings and the controller's state.

    Raises `StateError` if no run has finished, or the certificate lacks the registry's name. Further names that it
    lacks are left out until it has them.
    """
    if not (state.authority and state.leaf):
        raise StateError("there is no registry yet", "make deploy first")
    served = ca.subject_alt_names(state.leaf.certificate)
    if settings.registry_hostname not in served:
        raise StateError(
            f"the registry's certificate has no name {settings.registry_hostname} yet", "make deploy first"
        )
    found = settings.registry_address or next(
        iter(reversed(address.told(served, settings.registry_extra_names))), None
    )
    if found is None:
        raise StateError(
            "the registry's certificate has no address", "set registry_address, then make deploy"
        )
    endpoints = [
        each for name, each in zip(settings.server_names, settings.endpoints, strict=True) if name in served
    ]
    mirror = cache.name(settings)
    cached = settings.registry_caches if mirror in served else ()
    names = [name for name in (*settings.server_names, *([mirror] if cached else [])) if name in served]
    roles = settings.registry_accounts
    return Kit(
        registry=settings.endpoint,
        endpoints=endpoints,
        names=[name for name in names if not parse_address(name)],
        address=found,
        account=next((name for name, role in roles.items() if role == "push"), next(iter(roles))),
        ca_pem=rollover.stage_at(state.authority, state.successor, None, now).ca_bundle,
        mirror=cache.endpoint(settings) if cached else "",
        upstreams=[each.name for each in cached],
        hosts_toml=[
            (
                each.name,
                mirrors.hosts_toml(each, cache.endpoint(settings), _ca_of_kind(cache.endpoint(settings))),
            )
            for each in cached
        ],
    )


def texts(of: Kit, templates: str) -> dict[str, str]:
    """Return the text of each of the kit's files, by its path in the kit's folder. `templates` is where those are."""
    jinja = environment(templates)
    jinja.filters["folder"] = folder_of
    result = {name: jinja.get_template(f"workstation/{name}.j2").render(kit=of) for name in FILES}
    result["ca.crt"] = of.ca_pem
    for folder in map(folder_of, (*of.endpoints, *filter(None, [of.mirror]))):
        if ":" not in folder:
            result[f"certs.d/{folder}/ca.crt"] = of.ca_pem
    return result | {f"certs.d/{name}/hosts.toml": text for name, text in of.hosts_toml}


def _ca_of_kind(endpoint: str) -> str:
    return f"{CERTS}/{folder_of(endpoint)}/ca.crt"


def _certificates(pem: str) -> list[bytes]:
    parts = pem.split("-----BEGIN CERTIFICATE-----")[1:]
    return [base64.b64decode(part.partition("-----END")[0]) for part in parts]
