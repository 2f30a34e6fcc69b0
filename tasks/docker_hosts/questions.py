"""What a Docker host asks the registry through its engines."""

from __future__ import annotations

from tasks.clients import questions as clients
from tasks.clients.proxies import ProxySettings
from tasks.clients.questions import Question
from tasks.docker_hosts.engines import SNAP, SYSTEM, DockerHost, Engine, values_of
from tasks.registry import cache
from tasks.remote import json_edit
from tasks.remote.docker import SOCKET
from tasks.settings.load import Settings

TITLE = "Docker"
RESTART = "restart Docker (systemctl restart docker)"


def of(settings: Settings, name: str, found: DockerHost) -> list[Question]:
    """Return the questions about one server name: one for each engine that runs.

    An engine of root that does not run is not asked, since its socket alone could start it (systemd.socket(5)).
    """
    endpoint = settings.endpoints[settings.server_names.index(name)]
    asked = [engine for engine in found.engines if engine.user or engine.folder == SYSTEM[0]]
    return [
        Question(
            TITLE,
            endpoint,
            name,
            settings.registry_port,
            f"{engine.folder}/certs.d/{endpoint}/ca.crt",
            ("ask_docker", _socket(engine)),
            user=engine.user,
            proxy=None if engine.user else _proxy(name, settings.registry_port, found),
            restart=RESTART,
        )
        for engine in asked
        if engine.user or found.daemons
    ]


def of_mirror(settings: Settings, found: DockerHost) -> list[Question]:
    """Return the question to the caches, for root's engine if it runs; `LookupError` if there are no caches."""
    endpoint, name = cache.endpoint(settings), cache.name(settings) or ""
    return [
        clients.of_mirror(
            TITLE,
            endpoint,
            name,
            settings.registry_port,
            f"{folder}/certs.d/{endpoint}/ca.crt",
            proxy=_proxy(name, settings.registry_port, found),
            restart=RESTART,
        )
        for folder in found.info
        if folder in {SYSTEM[0], SNAP[0]}
    ]


def _socket(engine: Engine) -> str:
    """Return an engine's socket; the snap's is the system's (canonical/docker-snap)."""
    return f"unix:///run/user/{engine.user.uid}/docker.sock" if engine.user else SOCKET


def _proxy(host: str, port: int, found: DockerHost) -> str | None:
    """Return where the running engines of root have a proxy set that they ask for a host, None if they ask it directly.

    Flags and the configuration's `proxies` replace the environment (moby, `daemon/command/daemon.go`).
    """
    for pid, arguments in found.daemons.items():
        given = found.proxies.get(pid, ProxySettings())
        variables, file = dict(given.variables), given.file
        files = [each.configuration for each in found.engines if not each.user]
        for path in [*values_of("--config-file", arguments), *files]:
            configured = json_edit.read(found.texts.get(path, ""), path).get("proxies")
            for key, value in configured.items() if isinstance(configured, dict) else ():
                variables[_variable(key)] = str(value)
                file = path if key == "https-proxy" and value else file
        for key in ("https-proxy", "no-proxy"):
            for value in values_of(f"--{key}", arguments):
                variables[_variable(key)] = value
                file = f"the arguments of dockerd (pid {pid})" if key == "https-proxy" and value else file
        if where := ProxySettings(variables, file).way(host, port):
            return where
    return None


def _variable(key: str) -> str:
    return key.upper().replace("-", "_")
