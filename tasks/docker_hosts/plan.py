"""A Docker host: the CA for each of its engines, the registry's names in `/etc/hosts`, and the logins of users.

Both image stores read `certs.d`: the graph drivers' (moby, `daemon/pkg/registry`) and containerd's, which uses
the `.crt` files there unless a `hosts.toml` is beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.accounts.logins import Login
from tasks.clients import certs_d
from tasks.clients import plan as client_hosts
from tasks.clients.plan import ClientHost
from tasks.clients.proxies import ProxySettings
from tasks.clients.system_trust import Family
from tasks.docker_hosts import conflicts, logins
from tasks.docker_hosts.logins import Home
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.remote.users import User
from tasks.settings.load import Settings

SYSTEM = ("/etc/docker", "/etc/docker/daemon.json")
"""Folder and configuration of the system's engine."""

ROOTLESS = (".config/docker", ".config/docker/daemon.json")
"""The same for a user's own engine, relative to the home (moby, `CertsDir`). A changed XDG_CONFIG_HOME is not seen."""

SNAP = ("/var/snap/docker/current/etc/docker", "/var/snap/docker/current/config/daemon.json")
"""The same for the snap (canonical/docker-snap#42, #51, and its README)."""


@dataclass(frozen=True)
class Engine:
    """Where an engine finds its files: `folder` contains `certs.d`. `user` is who runs it, None for root."""

    folder: str
    configuration: str
    user: User | None = None


@dataclass(frozen=True)
class DockerHost:
    """A Docker host as it is. `texts` are the texts of the existing files, by path.

    `daemons` are the arguments of root's running engines, by process id. `homes` are those of the users who are to be
    logged in, None for a user who does not exist. `proxies` are the proxy settings of `daemons` that have some.
    `unread` says of a user's engine, by its folder, why its files are not known.
    """

    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    engines: Sequence[Engine] = (Engine(*SYSTEM),)
    daemons: Mapping[str, list[str]] = field(default_factory=dict)
    homes: Mapping[str, Home | None] = field(default_factory=dict)
    client: ClientHost = field(default_factory=ClientHost)
    proxies: Mapping[str, ProxySettings] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """The `steps`, and by user what keeps a part of theirs from being done, which keeps nothing else from it."""

    steps: list[Step] = field(default_factory=list)
    refused: dict[str, Conflict] = field(default_factory=dict)


@dataclass(frozen=True)
class DockerTarget:
    """What a Docker host is to have.

    `logins` are those of its users. `family` is set if the system's trust store gets the CA as well.
    """

    ca_pem: str
    address: str
    logins: Mapping[str, Login] = field(default_factory=dict)
    family: Family | None = None


def paths(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return the paths to look at in an engine's folder. The port is part of a name's folder."""
    certs, names = f"{folder}/certs.d", settings.endpoints
    stronger = [f"{certs}/{other}" for name in names if (other := certs_d.stronger_folder(name))]
    return [*certs_d.paths(certs, names), *stronger]


def texts(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return the files in an engine's folder whose texts are read."""
    return [*ca_files(settings, folder), *_hosts_tomls(settings, folder)]


def ca_files(settings: Settings, folder: str = SYSTEM[0]) -> list[str]:
    """Return the file in which an engine looks for the CA, for each name."""
    return certs_d.certificates(f"{folder}/certs.d", settings.endpoints)


def steps(settings: Settings, target: DockerTarget, found: DockerHost) -> Planned:
    """Return the steps, in their order; `Conflict` if something of the administrator's contradicts them."""
    logins.check(target.logins, found.homes)
    for pid, arguments in found.daemons.items():
        conflicts.check_arguments(pid, arguments, settings, target.address)
        for path in conflicts.values_of("--config-file", arguments):
            conflicts.check_configuration(path, found.texts.get(path, ""), settings, target.address)
    planned = Planned()
    for engine in found.engines:
        try:
            _check(engine, settings, target.address, found)
            planned.steps.extend(_trust(engine, settings, target.ca_pem, found))
        except Conflict as stop:
            if engine.user is None:
                raise
            planned.refused[engine.user.name] = stop
    planned.steps.extend(
        client_hosts.steps(settings, target.ca_pem, target.address, target.family, found.client)
    )
    for name, login in target.logins.items():
        home = found.homes[name]
        try:
            planned.steps.extend(logins.steps(home, settings.endpoints, login) if home else [])
        except Conflict as stop:
            planned.refused.setdefault(name, stop)
    return planned


def _trust(engine: Engine, settings: Settings, ca_pem: str, found: DockerHost) -> list[Step]:
    owner, group = (engine.user.uid, engine.user.gid) if engine.user else (0, 0)
    observed = {path: found.paths[path] for path in paths(settings, engine.folder)}
    items = certs_d.wanted(f"{engine.folder}/certs.d", settings.endpoints, ca_pem, owner, group)
    placed = files.leftovers(observed) + files.place(items, observed)
    if engine.user is None:
        return placed
    return [replace(step, script=engine.user.run(step.script)) for step in placed]


def _check(engine: Engine, settings: Settings, address: str, found: DockerHost) -> None:
    if error := found.unread.get(engine.folder):
        raise Conflict(f"what is in {engine.folder} could not be read ({error})", "fix that and run again")
    text = found.texts.get(engine.configuration, "")
    conflicts.check_configuration(engine.configuration, text, settings, address)
    for name in settings.endpoints:
        other = certs_d.stronger_folder(name)
        path = f"{engine.folder}/certs.d/{other}"
        if other and found.paths[path]:
            raise Conflict(
                f"{path} exists, and Docker's containerd image store looks there before it looks for our ca.crt",
                f"move it away (mv {path} {path}.old) and run again",
            )
    for path in _hosts_tomls(settings, engine.folder):
        conflicts.check_hosts_toml(path, found.texts.get(path, ""))
    certs_d.check(ca_files(settings, engine.folder), found.texts)


def _hosts_tomls(settings: Settings, folder: str) -> list[str]:
    return [f"{files.parent(path)}/hosts.toml" for path in ca_files(settings, folder)]
