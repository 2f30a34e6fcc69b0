"""What a Docker host has: its engines, their files, and what they say of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tasks.clients.plan import ClientHost
from tasks.clients.proxies import ProxySettings
from tasks.docker_hosts.logins import Home
from tasks.remote.files import Observed
from tasks.remote.users import User

SYSTEM = ("/etc/docker", "/etc/docker/daemon.json")
"""Folder and configuration of the system's engine."""

ROOTLESS = (".config/docker", ".config/docker/daemon.json")
"""The same for a user's own engine, relative to the home (moby, `CertsDir`). A changed XDG_CONFIG_HOME is not seen."""

SNAP = ("/var/snap/docker/current/etc/docker", "/var/snap/docker/current/config/daemon.json")
"""The same for the snap (canonical/docker-snap#42, #51, and its README)."""

INFO = "[{{json .ServerVersion}},{{json .DriverStatus}},{{json .RegistryConfig.Mirrors}}]"
"""What `docker info` is asked for."""

HOSTS_TOML_SINCE = 27
"""The version of Docker from which the containerd image store reads `hosts.toml` (moby, `daemon/hosts.go`)."""

Store = Literal["containerd", "graph driver", "old containerd"]


@dataclass(frozen=True)
class Engine:
    """Where an engine finds its files: `folder` contains `certs.d`. `user` is who runs it, None for root."""

    folder: str
    configuration: str
    user: User | None = None

    @property
    def certs(self) -> str:
        """The folder with a folder for each registry."""
        return f"{self.folder}/certs.d"

    @property
    def owner(self) -> tuple[int, int]:
        """The numeric ids of the user and the group that its files belong to."""
        return (self.user.uid, self.user.gid) if self.user else (0, 0)


@dataclass(frozen=True)
class EngineInfo:
    """What a running engine says of itself: where it keeps images, and the `registry-mirrors` in force, as URLs."""

    store: Store
    mirrors: Sequence[str] = ()


@dataclass(frozen=True)
class DockerHost:
    """A Docker host as it is. `texts` are the texts of the existing files, by path.

    `daemons` are the arguments of root's running engines, by process id. `homes` are those of the users who are to be
    logged in, None for a user who does not exist. `proxies` are the proxy settings of `daemons` that have some.
    `unread` says of a user's engine, by its folder, why its files are not known. `info` is what the running engines
    say, by their folders; an engine that was not asked, or did not answer, has none.
    """

    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    engines: Sequence[Engine] = (Engine(*SYSTEM),)
    daemons: Mapping[str, list[str]] = field(default_factory=dict)
    homes: Mapping[str, Home | None] = field(default_factory=dict)
    client: ClientHost = field(default_factory=ClientHost)
    proxies: Mapping[str, ProxySettings] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, EngineInfo] = field(default_factory=dict)


def values_of(flag: str, arguments: list[str]) -> Iterator[str]:
    """Yield the values of a flag, given as `--flag value` or `--flag=value`."""
    for number, argument in enumerate(arguments):
        if argument == flag and number + 1 < len(arguments):
            yield arguments[number + 1]
        elif argument.startswith(f"{flag}="):
            yield argument.removeprefix(f"{flag}=")


def read_info(text: str) -> EngineInfo | None:
    """Return what `docker info` printed; None if that is not what was asked for."""
    try:
        version, status, mirrors = json.loads(text)
        has_snapshots = ["driver-type", "io.containerd.snapshotter.v1"] in (status or [])
        reads_hosts_toml = int(version.partition(".")[0]) >= HOSTS_TOML_SINCE
        urls = tuple(str(each) for each in mirrors or ())
    except (ValueError, TypeError, AttributeError):
        return None
    if not has_snapshots:
        return EngineInfo("graph driver", urls)
    return EngineInfo("containerd" if reads_hosts_toml else "old containerd", urls)
