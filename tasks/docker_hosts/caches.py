"""What has a Docker Engine pull through the caches, and what takes that back.

The containerd image store reads a `hosts.toml` for each registry at each pull (moby, `daemon/hosts.go`). A graph driver
has mirrors of `docker.io` alone, in `daemon.json`, and trusts the CA in the folder of the mirror's name (moby,
`registry/service_v2.go`). Which of them an engine has, it says itself; one that does not run is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tasks.clients import mirrors
from tasks.clients.mirrors import Mirror
from tasks.docker_hosts import daemon_json
from tasks.docker_hosts.engines import SNAP, SYSTEM, DockerHost, Engine, values_of
from tasks.remote import files
from tasks.remote.files import NEW_SUFFIX, File
from tasks.remote.steps import Conflict, Step
from tasks.settings.caches import HUB

UNKNOWN = "it does not run, or does not say how it stores images"


@dataclass(frozen=True)
class Cached:
    """The steps for an engine, and the caches that it pulls through then. `note` says why it cannot, if so."""

    steps: list[Step] = field(default_factory=list)
    mirror: Mirror | None = None
    note: str = ""


def paths(used: Mirror | None, folder: str) -> list[str]:
    """Return what to look at in an engine's folder; nothing if it uses no caches."""
    if used is None:
        return []
    written = [each.path for each in mirrors.wanted(f"{folder}/certs.d", used, "") if isinstance(each, File)]
    return [*files.observed_paths(written), f"{folder}/.daemon.json{NEW_SUFFIX}"]


def plan(engine: Engine, used: Mirror | None, ca_pem: str, found: DockerHost) -> Cached:
    """Return what an engine needs to pull through `used`, None for no caches.

    Raises `Conflict` if the user has configured otherwise where its images come from.
    """
    info = found.info.get(engine.folder)
    if used is None:
        return Cached(_take_back(engine, None, [], found))
    if info is None:
        return Cached(note="" if engine.user or _endpoints(engine, found) else UNKNOWN)
    if info.store == "containerd":
        mirrors.check(engine.certs, used, found.texts)
        _check_mirrors(engine, used, found)
        return Cached(_place(engine, used, ca_pem, found) + _take_back(engine, used, [], found), used)
    hub = replace(used, upstreams=[each for each in used.upstreams if each.name == HUB])
    why_not = _why_not(engine, hub, info.store)
    if why_not:
        return Cached(_take_back(engine, None, [], found), note=why_not)
    _check_mirrors(engine, hub, found)
    home = replace(used, upstreams=())
    return Cached(_place(engine, home, ca_pem, found) + _take_back(engine, home, [used.url], found), hub)


def notes(cached: Mapping[Engine, Cached]) -> list[str]:
    """Return what people should know of engines that cannot pull through the caches.

    Of root's engines one runs at most: the others are the system's and the snap's, and need not be there.
    """
    known = any(not engine.user and each.note != UNKNOWN for engine, each in cached.items())
    found = {engine: each.note for engine, each in cached.items() if each.note}
    return list(
        dict.fromkeys(
            f"Docker{f' of {engine.user.name}' if engine.user else ''} pulls nothing through the caches: {note}"
            for engine, note in found.items()
            if note != UNKNOWN or not known
        )
    )


def _why_not(engine: Engine, hub: Mirror, store: str) -> str:
    if store == "old containerd":
        return "its containerd image store reads no hosts.toml before Docker 27"
    if not hub.upstreams:
        return "it stores images with a graph driver, for which Docker has mirrors of docker.io alone"
    if engine.folder != SYSTEM[0] or engine.user:
        return "it stores images with a graph driver, and is not the system's engine"
    return ""


def _place(engine: Engine, used: Mirror, ca_pem: str, found: DockerHost) -> list[Step]:
    return files.place(mirrors.wanted(engine.certs, used, ca_pem, *engine.owner), found.paths)


def _take_back(engine: Engine, kept: Mirror | None, urls: list[str], found: DockerHost) -> list[Step]:
    """Return the steps after which only `urls` of ours are in `daemon.json`, and only `kept` in `certs.d`."""
    steps: list[Step] = []
    ours = [f"https://{each}" for each in _endpoints(engine, found)]
    path = configuration(engine, found)
    text = found.texts.get(path, "")
    if engine.user is None and (ours or urls):
        present = daemon_json.mirrors(text, path)
        wanted = [each for each in present if each.rstrip("/") not in ours or each.rstrip("/") in urls]
        wanted += [each for each in urls if not {each, f"{each}/"}.intersection(present)]
        info = found.info.get(engine.folder)
        why = "its mirror is missing" if urls else "this host uses no such cache any more"
        in_force = info.mirrors if info else None
        steps = daemon_json.steps(text, path, wanted, [*ours, *urls], in_force, why)
    return steps + mirrors.take_back(engine.certs, kept, found.texts)


def _endpoints(engine: Engine, found: DockerHost) -> list[str]:
    """Return the endpoints of caches that an earlier run wrote for an engine."""
    return [
        name
        for path, text in found.texts.items()
        if path.startswith(f"{engine.certs}/") and mirrors.is_ours(text)
        and f'[host."https://{(name := files.parent(path).rpartition("/")[2])}"]' in text
    ]  # fmt: skip


def _check_mirrors(engine: Engine, used: Mirror, found: DockerHost) -> None:
    """Raise `Conflict` if mirrors of the user's own are where `docker.io` comes from."""
    hub = next((each for each in used.upstreams if each.name == HUB), None)
    if hub is None or engine.user:
        return
    ours = [used.url, *(f"https://{each}" for each in _endpoints(engine, found))]
    for pid, arguments in found.daemons.items():
        for value in values_of(daemon_json.FLAG, arguments):
            raise Conflict(
                f"dockerd (pid {pid}) runs with {daemon_json.FLAG} {mirrors.without_login(value)}, so it has a mirror "
                "of docker.io already",
                mirrors.remedy(hub),
            )
    path = configuration(engine, found)
    text = found.texts.get(path, "")
    for each in daemon_json.mirrors(text, path):
        if each.rstrip("/") not in ours:
            raise Conflict(
                f"{daemon_json.place(text, path, each)}, so Docker has a mirror of docker.io already",
                mirrors.remedy(hub),
            )


def configuration(engine: Engine, found: DockerHost) -> str:
    """Return the configuration file that an engine reads: the one that its arguments name, or its usual one."""
    if engine.folder == SYSTEM[0] and not engine.user:
        for arguments in found.daemons.values():
            for path in values_of("--config-file", arguments):
                if path != SNAP[1]:
                    return path
    return engine.configuration
