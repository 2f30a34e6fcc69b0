"""The registry host as it is, and the steps from there to what it should have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.accounts import passwords
from tasks.registry import cache, cache_remains, containers, keeper, leaf, metrics, replacement, web
from tasks.registry.address import Addresses
from tasks.registry.containers import Container
from tasks.registry.desired import FOLDER, HTPASSWD, TWO_PASSWORDS, Desired
from tasks.registry.image_age import Built, Debian
from tasks.registry.storage import Place, Record
from tasks.registry.suitable import Confinement
from tasks.registry.usage import Usage
from tasks.remote import files
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict, Step
from tasks.run.machines import Engine

CERTIFICATE = f"{FOLDER}/{leaf.LINK}"

LINKED = (containers.REGISTRY, cache.NAME)
"""The containers that the gateway reaches by a link."""

DRAIN = Step("wait for 3 seconds: for requests that passed the gateway before it looked there", "sleep 3")
"""Such requests are about to be checked against the entry that let them in. Nothing shows when they were."""


@dataclass(frozen=True)
class RegistryHost:
    """The registry host as it is.

    `addresses` are the host's. `links` has by the name of a container what the gateway's link to it names, None if
    there is no link. `containers` holds `docker inspect`'s report by name, also of what a killed run left; `images` the
    id by reference, `inside` the inode that a container sees at a mount's target, by (container, target). `listener` is
    the program that listens on the port, and `holders` are the containers that it does so for, unless one is ours.
    `leaf` is the name of the file of the leaf in force. `installed` and `served` are PEM certificates, the leaf first;
    `handshake` says whether the host has openssl to see what is served. If that is not what is installed, `inner` is
    what each container serves past the port, and `rules` are the NAT rules for the port that are not Docker's. Nothing
    is known of containers unless `engine` is `running`. `built` says of what an image was built, by reference, and
    `debian` what it would be built of now. `confinement` is what keeps the engine from our folders. `places` has what
    is at the images' folder and where it was before, `storage` where the host knows it to be, and `usage` how full it
    is there. `change` is the last change of the passwords that the host's htpasswd names, or empty. `shadowed` are
    repositories that no client would reach beside the caches of these settings, and `foreign` is something in the
    folder of the caches that is not theirs.
    """

    addresses: Addresses = field(default_factory=Addresses)
    paths: Mapping[str, Observed | None] = field(default_factory=dict)
    links: Mapping[str, str | None] = field(default_factory=lambda: dict.fromkeys(LINKED))
    engine: Engine = "absent"
    containers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    inside: Mapping[tuple[str, str], int] = field(default_factory=dict)
    listener: str | None = None
    holders: tuple[str, ...] = ()
    change: str = ""
    leaf: str = ""
    installed: str = ""
    served: str = ""
    handshake: bool = False
    inner: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    built: Mapping[str, Built] = field(default_factory=dict)
    debian: Debian = field(default_factory=Debian)
    confinement: Confinement = field(default_factory=Confinement)
    places: Mapping[str, Place] = field(default_factory=dict)
    storage: Record | None = None
    usage: Usage | None = None
    shadowed: tuple[str, ...] = ()
    foreign: str | None = None


def steps(desired: Desired, found: RegistryHost, new_images: frozenset[str] = frozenset()) -> list[Step]:
    """Return the steps, in their order; `Conflict` if something of the user's is in the way.

    `new_images` are those that this run builds or pulls: a container of one is recreated with it.
    """
    placed = files.leftovers(found.paths)
    placed += files.place(desired.files, found.paths)
    placed += web.place(f"{FOLDER}/gateway", desired.page, found.paths)
    placed += leaf.steps(CERTIFICATE, desired.leaf, found.paths, found.leaf)
    flag, htpasswd = f"{FOLDER}/{TWO_PASSWORDS}", f"{FOLDER}/{HTPASSWD}"
    if found.paths[flag] and flag in desired.unwanted_flags and any(step.path == htpasswd for step in placed):
        placed = [step for step in placed if step.path != htpasswd] + revoke(desired)
        found = replace(found, paths={**found.paths, flag: None})
    if not any(container.name == keeper.NAME for container in desired.containers):
        placed += keeper.removal(FOLDER, found.containers, found.paths)
    if not desired.page:
        placed += web.removal(FOLDER, found.paths)
    for path, why in desired.unwanted_flags.items():
        placed += files.remove([path], found.paths, why)
    placed += cache_remains.unwanted_logins(FOLDER, desired.files, found.paths)
    steps = placed + _networks(desired, found) + _containers(desired, found, placed, new_images)
    first = f"{FOLDER}/{leaf.FIRST}"
    reason = "the gateway reads current.pem"
    in_use = {mount.source for container in desired.containers for mount in container.mounts}
    if any(container.name == cache.NAME for container in desired.containers):
        steps += cache_remains.left(desired.cache_path, found.containers, in_use)
    else:
        steps += cache_remains.removal(desired.cache_path, FOLDER, found.paths, found.containers, in_use)
    if not any(container.name == metrics.NAME for container in desired.containers):
        steps += metrics.removal(FOLDER, found.containers, found.paths)
    return steps + files.remove([first] if first in found.paths else [], found.paths, reason)


def revoke(desired: Desired, present_flags: Iterable[str] = ()) -> list[Step]:
    """Return the steps to `desired` if only former passwords are in the way; the first one ends them.

    Of the flag files in `present_flags` (paths), those that are unwanted are removed.
    """
    htpasswd, flag = f"{FOLDER}/{HTPASSWD}", f"{FOLDER}/{TWO_PASSWORDS}"
    wanted = next(item for item in desired.files if isinstance(item, File) and item.path == htpasswd)
    reason = "former passwords are refused from now on"
    others = [
        _remove_flag(desired, path)
        for path in present_flags
        if path in desired.unwanted_flags and path != flag
    ]
    if flag not in desired.unwanted_flags:
        return [files.write(wanted, reason), *others]
    return [
        files.write(replace(wanted, content=passwords.add_next_entries(wanted.content)), reason),
        _remove_flag(desired, flag),
        DRAIN,
        files.write(wanted, "each account needs only one entry again"),
        *others,
    ]


def _remove_flag(desired: Desired, path: str) -> Step:
    return files.removal(path, desired.unwanted_flags[path])


def _networks(desired: Desired, found: RegistryHost) -> list[Step]:
    wanted = {each.network for each in desired.containers} - {"none"} - found.networks
    return [
        Step(
            f"make the network {name}: it is missing", f"{OWN_ENGINE}docker network create {name} >/dev/null"
        )
        for name in sorted(wanted)
    ]


def _containers(
    desired: Desired, found: RegistryHost, placed: list[Step], new_images: frozenset[str]
) -> list[Step]:
    """Return a step for each container that must be created or replaced, after the files were `placed`."""
    wanted = []
    for container in desired.containers:
        _check_ours(container, found)
        kind = replacement.KINDS[container.name]
        name = kind.in_service(found.containers, found.links)
        reason = _drift(container, name, found, placed)
        if container.image in new_images:
            reason = reason or "its image is new"
        if container.publish:
            _check_answer(container, name, found)
            reason = reason or _wrong_service(desired, found, placed)
        if reason:
            verb = "recreate" if name in found.containers else "create"
            text = f"{verb} the container {container.name}: {reason}"
            kept = containers.owner_limits(found.containers[name]) if name in found.containers else []
            script = replacement.replace(container, FOLDER, desired.server_name, kept)
            login = desired.authorization if kind.is_asked else None
            wanted.append(Step(text, script, login))
        elif any(each in found.containers for each in replacement.names(container)[1:]):
            text = f"remove what is left of replacing the container {container.name}: a run was killed"
            wanted.append(Step(text, replacement.finish(container, FOLDER)))
    return wanted[::-1] if _serves_in_the_link_s_place(found) else wanted


def _serves_in_the_link_s_place(found: RegistryHost) -> bool:
    """Return whether the registry is a healthy one from before each had a socket of its own.

    Gateways of that time keep idle connections for longer than the end of a registry waits (`replacement.drain`), and
    a request on one of them would get a 503: there the gateway is replaced first.
    """
    report = found.containers.get(containers.REGISTRY)
    if (
        report is None
        or found.links[containers.REGISTRY] is not None
        or containers.socket(report) is not None
    ):
        return False
    return bool(report["State"].get("Health", {}).get("Status") == "healthy")


def _drift(container: Container, name: str, found: RegistryHost, placed: list[Step]) -> str | None:
    """Return why a container must be recreated, by the engine's report and by the files that it uses."""
    report = found.containers.get(name)
    reason = containers.drift(container, report, found.images.get(container.image))
    if reason or report is None:
        return reason
    for mount in container.mounts:
        if isinstance(mount, containers.Memory):
            continue
        folder = found.paths[mount.source]
        if folder is None or found.inside.get((name, mount.target)) != folder.inode:
            return f"it does not see the folder {mount.source} that is there now"
    if container.name in LINKED and containers.socket(report) != found.links[container.name]:
        return "the gateway's link does not lead to its socket"
    started = dt.datetime.fromisoformat(report["State"]["StartedAt"].replace("Z", "+00:00"))
    for path in container.read_at_start:
        file = found.paths[path]
        if any(step.writes and step.path == path for step in placed) or file is None:
            return "its configuration changes"
        if file.modified > started.timestamp():
            return f"{'its configuration' if path == container.config else path} is newer than its start"
    return None


def _wrong_service(desired: Desired, found: RegistryHost, placed: list[Step]) -> str | None:
    """Return what a handshake shows to be wrong with a gateway whose container looks right.

    A leaf that this run writes is no reason: it is served from the next handshake on, without a restart.
    """
    paths = (desired.leaf.path, CERTIFICATE)
    written = any(step.path and path.startswith(step.path) for step in placed for path in paths)
    if not found.handshake or written or found.served.split() == desired.certificate.split():
        return None
    if found.served:
        return "it serves another certificate than the one in its file"
    return f"nothing answers on port {desired.port}"


def _check_ours(container: Container, found: RegistryHost) -> None:
    for name in replacement.names(container):
        report = found.containers.get(name)
        if report and not containers.is_ours(report):
            raise Conflict(
                f"there is a container {name} that this project did not make",
                f"rename it (docker rename {name} NAME) or remove it, and run again",
            )


def _check_answer(container: Container, name: str, found: RegistryHost) -> None:
    """Raise `Conflict` if what answers on the port is not the gateway, though no other program listens there."""
    inner = found.inner.get(name, "")
    unseen = not found.listener and not containers.published(found.containers.get(name, {}))
    theirs = inner.split() != found.served.split() if inner else unseen
    if not found.served or found.served.split() == found.installed.split() or not theirs:
        return
    rule = (
        f"the rule '{found.rules[0]}' takes it" if found.rules else "no listener and no NAT rule shows there"
    )
    raise Conflict(
        f"port {container.publish} leads to another server, with the certificate of {_described(found.served)}; {rule}",
        "take the port from it (K3s' ServiceLB: give that Service another port), or set registry_port to another "
        "port, and run again",
    )


def _described(pem: str) -> str:
    """Return subject, issuer and fingerprint of the first certificate."""
    try:
        leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    except ValueError:
        return "an unknown kind"
    fingerprint = leaf.fingerprint(hashes.SHA256()).hex(":").upper()
    return f"{leaf.subject.rfc4514_string()} by {leaf.issuer.rfc4514_string()} (SHA-256 {fingerprint})"


def check_port(port: int, found: RegistryHost) -> None:
    """Raise `Conflict` if the registry's port is taken, by anything but our gateway.

    It is checked before anything is made: people who see it may choose another port, or another host.
    """
    ours = [report for name, report in found.containers.items() if name.startswith(containers.GATEWAY)]
    if not found.listener or any(port in containers.published(report) for report in ours):
        return
    if found.holders:
        names = " and ".join(found.holders)
        problem = f"port {port} is taken by the container {names}"
        remedy = f"stop it (docker stop {' '.join(found.holders)})"
    else:
        problem, remedy = f"port {port} is taken by {found.listener}", "stop that program"
    raise Conflict(problem, f"{remedy}, or set registry_port to another port, and run again")
