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
from tasks.clients.mirrors import Mirror
from tasks.clients.system_trust import Family
from tasks.docker_hosts import caches, conflicts, logins
from tasks.docker_hosts.engines import SYSTEM, DockerHost, Engine, values_of
from tasks.remote import files
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings


@dataclass(frozen=True)
class Planned:
    """The `steps`, and by user what keeps a part of theirs from being done, which keeps nothing else from it.

    `mirror` are the caches that the system's engine pulls through then, and `notes` what people should know.
    """

    steps: list[Step] = field(default_factory=list)
    refused: dict[str, Conflict] = field(default_factory=dict)
    mirror: Mirror | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DockerTarget:
    """What a Docker host is to have.

    `logins` are those of its users. `family` is set if the system's trust store gets the CA as well. `mirror` are the
    caches to pull through, None for none.
    """

    ca_pem: str
    address: str
    logins: Mapping[str, Login] = field(default_factory=dict)
    family: Family | None = None
    mirror: Mirror | None = None


def paths(settings: Settings, folder: str = SYSTEM[0], mirror: Mirror | None = None) -> list[str]:
    """Return the paths to look at in an engine's folder. The port is part of a name's folder."""
    certs, names = f"{folder}/certs.d", settings.endpoints
    stronger = [f"{certs}/{other}" for name in names if (other := certs_d.stronger_folder(name))]
    return [*certs_d.paths(certs, names), *stronger, *caches.paths(mirror, folder)]


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
        for path in values_of("--config-file", arguments):
            conflicts.check_configuration(path, found.texts.get(path, ""), settings, target.address)
    planned, cached = Planned(), {}
    for engine in found.engines:
        try:
            _check(engine, settings, target.address, found)
            cached[engine] = caches.plan(engine, target.mirror, target.ca_pem, found)
            planned.steps.extend(_trust(engine, settings, target, found))
        except Conflict as stop:
            if engine.user is None:
                raise
            planned.refused[engine.user.name] = stop
    planned.steps.extend(
        client_hosts.steps(settings, target.ca_pem, target.address, target.family, found.client)
    )
    for engine, each in cached.items():
        planned.steps.extend(_by_owner(engine, each.steps))
    planned.notes.extend(caches.notes(cached))
    mirror = next((each.mirror for engine, each in cached.items() if each.mirror and not engine.user), None)
    for name, login in target.logins.items():
        home = found.homes[name]
        try:
            planned.steps.extend(logins.steps(home, settings.endpoints, login) if home else [])
        except Conflict as stop:
            planned.refused.setdefault(name, stop)
    return replace(planned, mirror=mirror)


def _trust(engine: Engine, settings: Settings, target: DockerTarget, found: DockerHost) -> list[Step]:
    observed = {path: found.paths[path] for path in paths(settings, engine.folder, target.mirror)}
    items = certs_d.wanted(engine.certs, settings.endpoints, target.ca_pem, *engine.owner)
    return _by_owner(engine, files.leftovers(observed) + files.place(items, observed))


def _by_owner(engine: Engine, steps: Sequence[Step]) -> list[Step]:
    if engine.user is None:
        return list(steps)
    return [replace(step, script=engine.user.run(step.script)) for step in steps]


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
