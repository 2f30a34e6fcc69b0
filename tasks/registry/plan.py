"""The registry host: the files and containers it should have, and the steps from what it has to that."""

from __future__ import annotations

import datetime as dt
import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from posixpath import basename
from typing import Any

from tasks.accounts import passwords
from tasks.registry import containers
from tasks.registry.containers import UID, Container
from tasks.remote import files
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict, Step
from tasks.remote.templates import environment
from tasks.run.machines import Engine
from tasks.settings.load import Settings

FOLDER = "/etc/homelab-registry"
TYPED = "gateway/typed"
"""Holds a file for each account with a typed password: the gateway looks there, and need not be told by a restart."""
GENERATED = "its account's password is a generated one"

TWO_PASSWORDS = "gateway/two-passwords"
"""Is there while an account has a former password beside its present one: the gateway then asks for both."""

DRAIN = Step("wait for 3 seconds: for requests that passed the gateway before it looked there", "sleep 3")
"""They are about to be asked for the entry by which they were let in, and nothing but time tells when they were."""

FOLDERS = ("gateway", "gateway/tls", TYPED, "registry", "run")
CERTIFICATE = "gateway/tls/tls.pem"
GATEWAY_CONFIG = "gateway/nginx.conf"
REGISTRY_CONFIG = "registry/config.yml"
HTPASSWD = "registry/htpasswd"
ONLY_CERTIFICATES = "sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p'"


@dataclass(frozen=True)
class RegistryHost:
    """The registry host as it is.

    `address` is the one on its default route; `containers` by name, as `docker inspect` tells; `images` the id
    by reference; `inside` the inode that a container sees at a mount's target, by (container, target);
    `listener` the program that listens on the port; `installed` and `served` are PEM certificates, the leaf
    first; `handshake` tells whether the host has openssl to look at what is served. Unless `engine` is `running`
    nothing is known of containers.
    """

    address: str | None = None
    paths: Mapping[str, Observed | None] = field(default_factory=dict)
    engine: Engine = "absent"
    containers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    inside: Mapping[tuple[str, str], int] = field(default_factory=dict)
    listener: str | None = None
    installed: str = ""
    served: str = ""
    handshake: bool = False


@dataclass(frozen=True)
class Secrets:
    """What only the two containers may read. `certificate_pem` is public, but stands in one file with its key."""

    htpasswd: str = field(repr=False)
    http_secret: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    key_pem: str = field(repr=False)


@dataclass(frozen=True)
class Desired:
    """All that the registry host should have. `certificate` is the leaf in PEM, as a handshake shows it.

    `unmarked` are the marks for the gateway that should not be there, and why.
    """

    files: tuple[Folder, ...]
    unmarked: Mapping[str, str]
    containers: tuple[Container, ...]
    certificate: str
    port: int


def desire(settings: Settings, secrets: Secrets, images: Mapping[str, str], templates: str) -> Desired:
    """Return what the registry host should have.

    `images` gives the image of each container by role (`registry`, `gateway`), `templates` their folder.
    """
    storage, port = settings.registry_storage_path, settings.registry_port
    # No setting holds what is special in YAML or nginx's language.
    render = environment(templates).get_template
    context = {
        "settings": settings,
        "container": containers,
        "http_secret": secrets.http_secret,
        "custom_accounts": f"{containers.GATEWAY_CONFIG}/{basename(TYPED)}",
        "two_passwords": f"{containers.GATEWAY_CONFIG}/{basename(TWO_PASSWORDS)}",
        "next_prefix": b64encode(passwords.NEXT.encode()).decode(),
        "decoy": b64encode(f"{passwords.DECOY}:".encode()).decode(),
    }
    typed = passwords.custom_accounts(secrets.htpasswd)
    marks = {f"{TYPED}/{name}": f"{name} has a typed password\n" for name in typed}
    if passwords.has_next_entries(secrets.htpasswd):
        marks[TWO_PASSWORDS] = "an account has a former password beside its present one\n"
    contents = {
        CERTIFICATE: secrets.certificate_pem + secrets.key_pem,
        GATEWAY_CONFIG: render("gateway.conf.j2").render(context),
        REGISTRY_CONFIG: render("registry.yml.j2").render(context),
        HTPASSWD: secrets.htpasswd,
    }
    return Desired(
        files=(
            Folder(FOLDER),
            *(Folder(f"{FOLDER}/{name}", "0700", UID, UID) for name in FOLDERS),
            Folder(storage, "0700", UID, UID),
            *(
                File(f"{FOLDER}/{name}", "0600", UID, UID, content)
                for name, content in (contents | marks).items()
            ),
        ),
        unmarked={f"{FOLDER}/{mark}": why for mark, why in _marks(settings).items() if mark not in marks},
        containers=(
            containers.registry(images["registry"], FOLDER, storage, _sha256(contents[REGISTRY_CONFIG])),
            containers.gateway(images["gateway"], FOLDER, storage, port, _sha256(contents[GATEWAY_CONFIG])),
        ),
        certificate=secrets.certificate_pem,
        port=port,
    )


def paths(settings: Settings) -> list[str]:
    """Return all paths to be told of: the managed ones, and beside each file the name it is written under."""
    written = [
        f"{FOLDER}/{name}"
        for name in (CERTIFICATE, GATEWAY_CONFIG, REGISTRY_CONFIG, HTPASSWD, *_marks(settings))
    ]
    folders = [FOLDER, *(f"{FOLDER}/{name}" for name in FOLDERS), settings.registry_storage_path]
    return [*folders, *written, *map(files.temporary, written)]


def handshake(port: int, server_name: str) -> str:
    """Return the command that shows in PEM what is served on this host: the leaf, then its chain."""
    return (
        f"echo | timeout 10 openssl s_client -connect 127.0.0.1:{port} -servername {server_name} -showcerts "
        f"2>/dev/null | {ONLY_CERTIFICATES}"
    )


def proof(desired: Desired, server_name: str) -> Step:
    """Return the step that asks the gateway for a certificate which is new on the host."""
    return Step(
        "ask the gateway for its certificate: it has a new one",
        f"command -v openssl >/dev/null || exit 0\n{handshake(desired.port, server_name)}\necho asked",
    )


def check_proof(desired: Desired, told: str) -> bool:
    """Tell whether the proof could be asked for; `ValueError` where another certificate is served than desired."""
    *shown, last = told.split() or [""]
    if last == "asked" and shown != desired.certificate.split():
        raise ValueError(
            f"port {desired.port} {'still serves another one' if shown else 'does not answer to a handshake'}"
        )
    return last == "asked"


def revoke(desired: Desired, marked: Iterable[str] = ()) -> list[Step]:
    """Return the steps to `desired` where former passwords alone are in the way; the first one ends them.

    `marked` are the paths of marks that are there; of them those go that should not be there any more.
    """
    htpasswd, mark = f"{FOLDER}/{HTPASSWD}", f"{FOLDER}/{TWO_PASSWORDS}"
    wanted = next(item for item in desired.files if isinstance(item, File) and item.path == htpasswd)
    reason = "former passwords are refused from now on"
    typed = [_unmark(desired, path) for path in marked if path in desired.unmarked and path != mark]
    if mark not in desired.unmarked:
        return [files.write(wanted, reason), *typed]
    return [
        files.write(replace(wanted, content=passwords.add_next_entries(wanted.content)), reason),
        _unmark(desired, mark),
        DRAIN,
        files.write(wanted, "one entry for each account does again"),
        *typed,
    ]


def _unmark(desired: Desired, path: str) -> Step:
    return Step(f"remove {path}: {desired.unmarked[path]}", f"rm -f {path}", path=path)


def _marks(settings: Settings) -> dict[str, str]:
    """Return all marks that there may be, and why each of them is not there."""
    typed = {f"{TYPED}/{name}": GENERATED for name in settings.registry_accounts}
    return {TWO_PASSWORDS: "no account has a former password", **typed}


def steps(desired: Desired, found: RegistryHost, rebuilt: frozenset[str] = frozenset()) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's is in the way.

    `rebuilt` names the images that this very run makes: a container of one is made anew with it.
    """
    placed = files.leftovers(found.paths)
    placed += files.place(desired.files, found.paths)
    mark, htpasswd = f"{FOLDER}/{TWO_PASSWORDS}", f"{FOLDER}/{HTPASSWD}"
    if found.paths[mark] and mark in desired.unmarked and any(step.path == htpasswd for step in placed):
        placed = [step for step in placed if step.path != htpasswd] + revoke(desired)
        found = replace(found, paths={**found.paths, mark: None})
    for path, why in desired.unmarked.items():
        placed += files.remove([path], found.paths, why)
    started = []
    if containers.NETWORK not in found.networks:
        name = containers.NETWORK
        started.append(
            Step(f"make the network {name}: it is missing", f"docker network create {name} >/dev/null")
        )
    for container in desired.containers:
        _check_ours(container, found)
        reason = _drift(container, found, placed)
        if container.image in rebuilt:
            reason = reason or "its image is made anew"
        if container.publish:
            reason = reason or _wrong_service(desired, found, placed)
            if reason:
                _check_port(container, found)
        if reason:
            script = containers.start_script(container)
            started.append(Step(f"start the container {container.name} anew: {reason}", script))
    return placed + started


def _drift(container: Container, found: RegistryHost, placed: list[Step]) -> str | None:
    state = found.containers.get(container.name)
    reason = containers.drift(container, state, found.images.get(container.image))
    if reason or state is None:
        return reason
    for mount in container.mounts:
        folder = found.paths[mount.source]
        if folder is None or found.inside.get((container.name, mount.target)) != folder.inode:
            return f"it does not see the folder {mount.source} that is there now"
    config = found.paths[container.config]
    started = dt.datetime.fromisoformat(state["State"]["StartedAt"].replace("Z", "+00:00"))
    if any(step.writes and step.path == container.config for step in placed) or config is None:
        return "its configuration is written anew"
    if config.modified > started.timestamp():
        return "its configuration is newer than its start"
    return None


def _wrong_service(desired: Desired, found: RegistryHost, placed: list[Step]) -> str | None:
    """Return what a handshake shows to be wrong with a gateway that looks right.

    A leaf that this run puts right is no reason: it is served from the next handshake on, without a restart.
    """
    mended = any(step.path and f"{FOLDER}/{CERTIFICATE}".startswith(step.path) for step in placed)
    if not found.handshake or mended or found.served.split() == desired.certificate.split():
        return None
    if found.served:
        return "it serves another certificate than the one in its file"
    return f"nothing answers on port {desired.port}"


def _check_ours(container: Container, found: RegistryHost) -> None:
    state = found.containers.get(container.name)
    if state and containers.LABEL not in (state["Config"].get("Labels") or {}):
        raise Conflict(
            f"a container {container.name} is there that this project did not make",
            f"rename it (docker rename {container.name} NAME) or remove it, and run again",
        )


def _check_port(container: Container, found: RegistryHost) -> None:
    state = found.containers.get(container.name, {})
    bindings = state.get("NetworkSettings", {}).get("Ports") or {}
    published = {int(binding["HostPort"]) for port in bindings.values() for binding in port or ()}
    if found.listener and container.publish not in published:
        raise Conflict(
            f"port {container.publish} is taken by {found.listener}",
            "stop that program, or set registry_port to another port, and run again",
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
