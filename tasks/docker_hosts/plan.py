"""A Docker host: the CA where each engine looks for it, the registry's names, and users who are logged in.

Both image stores read `certs.d`: the graph drivers' (moby, `daemon/pkg/registry`) and containerd's, which takes
its `.crt` files unless a `hosts.toml` stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.accounts.logins import Login
from tasks.clients import certs_d
from tasks.clients import plan as client_hosts
from tasks.clients.plan import ClientHost
from tasks.clients.system_trust import Family
from tasks.docker_hosts import conflicts, logins
from tasks.docker_hosts.logins import Home
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.remote.users import User
from tasks.settings.load import HostSettings, Settings

SYSTEM = ("/etc/docker", "/etc/docker/daemon.json")
"""Folder and configuration of the system's engine."""

ROOTLESS = (".config/docker", ".config/docker/daemon.json")
"""The same for a user's own engine, below the home (moby, `CertsDir`); a changed XDG_CONFIG_HOME is not seen."""

SNAP = ("/var/snap/docker/current/etc/docker", "/var/snap/docker/current/config/daemon.json")
"""The same for the snap (canonical/docker-snap#42, #51, and its README)."""


@dataclass(frozen=True)
class Engine:
    """Where an engine looks: `folder` holds its `certs.d`; `user` is who runs it, None for root."""

    folder: str
    configuration: str
    user: User | None = None


@dataclass(frozen=True)
class DockerHost:
    """A Docker host as it is. `texts` has those of the files that are there, by path.

    `daemons` are the arguments of the engines that run, by process id; `homes` those of the users who are to be
    logged in, None for one that does not exist.
    """

    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    engines: Sequence[Engine] = (Engine(*SYSTEM),)
    daemons: Mapping[str, list[str]] = field(default_factory=dict)
    homes: Mapping[str, Home | None] = field(default_factory=dict)
    client: ClientHost = field(default_factory=ClientHost)


@dataclass(frozen=True)
class DockerTarget:
    """What a Docker host is to have: `trusting` is whose trust store gets the CA as well, None for none."""

    ca_pem: str
    address: str
    login: Login
    trusting: Family | None = None


def paths(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return the paths to be told of in an engine's folder (the port is part of a name's folder)."""
    certs, names = f"{folder}/certs.d", settings.endpoints
    stronger = [f"{certs}/{other}" for name in names if (other := certs_d.stronger_folder(name))]
    return [*certs_d.paths(certs, names), *stronger]


def texts(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return the files there whose texts are to be told."""
    return [*ca_files(settings, folder), *_hosts_tomls(settings, folder)]


def ca_files(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return where an engine looks for the CA, a file for each name."""
    return certs_d.certificates(f"{folder}/certs.d", settings.endpoints)


def steps(settings: Settings, own: HostSettings, wanted: DockerTarget, found: DockerHost) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise."""
    for engine in found.engines:
        _check(engine, settings, wanted.address, found)
    for pid, arguments in found.daemons.items():
        conflicts.check_arguments(pid, arguments, settings, wanted.address)
        for path in conflicts.values_of("--config-file", arguments):
            conflicts.check_configuration(path, found.texts.get(path, ""), settings, wanted.address)
    trusted = [step for engine in found.engines for step in _trust(engine, settings, wanted.ca_pem, found)]
    shared = client_hosts.steps(settings, wanted.ca_pem, wanted.address, wanted.trusting, found.client)
    users = logins.steps(own.registry_login_users, settings.endpoints, wanted.login, found.homes)
    return trusted + shared + users


def _trust(engine: Engine, settings: Settings, ca_pem: str, found: DockerHost) -> list[Step]:
    owner, group = (engine.user.uid, engine.user.gid) if engine.user else (0, 0)
    there = {path: found.paths[path] for path in paths(settings, engine.folder)}
    items = certs_d.wanted(f"{engine.folder}/certs.d", settings.endpoints, ca_pem, owner, group)
    placed = files.leftovers(there) + files.place(items, there)
    if engine.user is None:
        return placed
    return [replace(step, script=engine.user.run(step.script)) for step in placed]


def _check(engine: Engine, settings: Settings, address: str, found: DockerHost) -> None:
    text = found.texts.get(engine.configuration, "")
    conflicts.check_configuration(engine.configuration, text, settings, address)
    for name in settings.endpoints:
        other = certs_d.stronger_folder(name)
        path = f"{engine.folder}/certs.d/{other}"
        if other and found.paths[path]:
            raise Conflict(
                f"{path} is there, in which Docker's containerd image store looks before it looks for our ca.crt",
                f"move it away (mv {path} {path}.old) and run again",
            )
    for path in _hosts_tomls(settings, engine.folder):
        conflicts.check_hosts_toml(path, found.texts.get(path, ""))
    certs_d.check(ca_files(settings, engine.folder), found.texts)


def _hosts_tomls(settings: Settings, folder: str) -> list[str]:
    return [f"{files.parent(path)}/hosts.toml" for path in ca_files(settings, folder)]
