"""Replacing a container: what works goes only when what comes after it was seen to work.

A script decides by what the host has while it runs, under a lock. Killed anywhere, it leaves one container in service,
and the next script removes what is left of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname
from typing import Any

from tasks.registry import cache, containers, keeper, links, metrics
from tasks.registry.containers import FORMER, GATEWAY_PORT, NEXT, SOCKET_LABEL, SOCKETS, Container
from tasks.registry.desired import SOCKET
from tasks.remote import files
from tasks.remote.docker import OWN_ENGINE
from tasks.settings import listen

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)

CLOSED = "closed|"
"""Begins the line in which a script says for how many milliseconds the port answered nobody."""

# Docker's first line says what is wrong, its last one only that something is.
COMMON = """
exec 9< "$folder" && flock -w 120 9 || { echo "another run is replacing a container" >&2; exit 1; }
spare=$name-next former=$name-former socket=
there() { docker container inspect "$1" >/dev/null 2>&1; }
running() { [ "$(docker container inspect -f '{{.State.Status}}' "$1" 2>/dev/null)" = running ]; }
drain() { :; }
prove() { :; }
retire() {
    there "$1" || return 0
    drain "$1"
    docker stop "$1" >/dev/null 2>&1
    docker rm -f "$1" >/dev/null || exit 1
}
give_up() {
    docker rm -f "$spare" >/dev/null 2>&1
    [ -z "$socket" ] || rm -f "$run/$socket"
    line=$(printf '%s\\n' "$1" | grep -m 1 'rror response' || printf '%s\\n' "$1" | tail -n 1)
    ! running "$name" || line="$line (the one before goes on serving)"
    echo "$line" >&2
    exit 1
}
create() { said=$(docker create --name="$spare" "$@" 2>&1 >/dev/null) || give_up "$said"; }
become_healthy() {
    said=$(docker start "$spare" 2>&1 >/dev/null) || return 1
    for _ in $(seq 240); do
        docker exec "$spare" sh -c "$health" >/dev/null 2>&1 && return
        [ "$(docker container inspect -f '{{.RestartCount}}' "$spare")" -lt 4 ] || break
        sleep 0.25
    done
    said="$name does not get healthy: $(docker logs --tail 1 "$spare" 2>&1)"
    return 1
}
take_over() {
    ! there "$name" || docker rename "$name" "$former" || exit 1
    docker rename "$spare" "$name" || exit 1
}
finish() {
    for each in "$name" "$spare" "$former"; do [ "$each" = "$serving" ] || retire "$each"; done
    [ "$serving" = "$name" ] || docker rename "$serving" "$name" || exit 1
}
"""

# The gateway in service is the one that has the port.
FIND_GATEWAY = """
has_port() {
    ports='{{if .State.Running}}{{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}} {{end}}{{end}}{{end}}'
    [ -n "$(docker container inspect -f "$ports" "$1" 2>/dev/null)" ]
}
serving=$name
if has_port "$spare"; then serving=$spare; elif ! there "$name" && there "$former"; then serving=$former; fi
finish
"""

# Of those that clients do not ask, the one that runs is in service.
FIND_RUNNING = """
serving=$name
for each in "$name" "$spare" "$former"; do
    if running "$each"; then serving=$each; break; fi
done
finish
"""

# The registry answers 401 through a gateway that works. Without openssl its own health check has to do.
REPLACE_GATEWAY = """
answers_soon() {
    command -v openssl >/dev/null || return 0
    for _ in $(seq 20); do
        answer=$(printf 'GET /v2/ HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' "$host" |
            timeout 10 openssl s_client -ign_eof -connect "$1" -servername "$host" 2>/dev/null | grep -m 1 '^HTTP/1.1 ')
        case $answer in (*' 401 '*) return ;; esac
        sleep 0.25
    done
    said="$name does not answer at $1 as it should: ${answer:-nothing} $(docker logs --tail 1 "$spare" 2>&1)"
    return 1
}
restore=
if running "$name"; then
    restore=$name
    create "$@"
    become_healthy || give_up "$said"
    inner='{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    answers_soon "$(docker container inspect -f "$inner" "$spare"):$inner_port" || give_up "$said"
    docker rm -f "$spare" >/dev/null || exit 1
fi
create --publish="$publish" "$@"
began=$(date +%s%N)
! there "$name" || docker stop "$name" >/dev/null || give_up "the gateway of before does not stop"
if ! { become_healthy && answers_soon "$outer"; }; then
    docker rm -f "$spare" >/dev/null 2>&1
    [ -z "$restore" ] || docker start "$restore" >/dev/null
    give_up "$said"
fi
[ -z "$restore" ] || echo "$closed$((($(date +%s%N) - began) / 1000000))"
take_over
retire "$former"
"""


@dataclass(frozen=True)
class Kind:
    """How containers of one name replace each other.

    `find` sees which one serves, and removes what is left of the others; `replace` comes after it. `values` returns
    their variables, given the container and our folder. With `is_asked` the script reads an Authorization header from
    standard input. `in_service` returns the name of the container that serves, given all reports, and by the name of a
    container what its link names.
    """

    find: str
    replace: str
    values: Callable[[Container, str], dict[str, str]]
    in_service: Callable[[Mapping[str, Mapping[str, Any]], Mapping[str, str | None]], str]
    is_asked: bool = False


def _registry_values(container: Container, folder: str) -> dict[str, str]:
    return {
        "storage": next(mount.source for mount in container.mounts if mount.target == containers.STORAGE),
        "manifests": MANIFESTS,
        "listen_by": "REGISTRY_HTTP_ADDR",
        **_link_values(f"{folder}/{SOCKET}", SOCKETS),
    }


def _cache_values(container: Container, folder: str) -> dict[str, str]:
    return {"listen_by": "SOCKET", **_link_values(f"{folder}/{cache.LINK}", cache.SOCKETS)}


def _link_values(link: str, sockets: str) -> dict[str, str]:
    return {"run": dirname(link), "link": link, "new_link": files.temporary(link), "sockets": sockets}


def _gateway_values(container: Container, folder: str) -> dict[str, str]:
    return {
        "inner_port": str(GATEWAY_PORT),
        "outer": f"{listen.local(container.listen)}:{container.publish}",
        "publish": f"{listen.bracketed(container.listen)}:{container.publish}:{GATEWAY_PORT}".lstrip(":"),
        "closed": CLOSED,
    }


def _gateway_in_service(present: Mapping[str, Mapping[str, Any]], links: Mapping[str, str | None]) -> str:
    name, spare, former = containers.GATEWAY, containers.GATEWAY + NEXT, containers.GATEWAY + FORMER
    if spare in present and containers.published(present[spare]):
        return spare
    return former if name not in present and former in present else name


def _by_link(name: str) -> Callable[[Mapping[str, Mapping[str, Any]], Mapping[str, str | None]], str]:
    return lambda present, named: links.in_service(name, present, named[name])


def _by_running(name: str) -> Callable[[Mapping[str, Mapping[str, Any]], Mapping[str, str | None]], str]:
    """Return what finds the one in service by the same rule as `FIND_RUNNING`: the lasting one if none runs."""

    def found(present: Mapping[str, Mapping[str, Any]], _: Mapping[str, str | None]) -> str:
        three = (name, name + NEXT, name + FORMER)
        return next((each for each in three if each in present and present[each]["State"]["Running"]), name)

    return found


KINDS = {
    containers.REGISTRY: Kind(
        links.FIND,
        links.PROVE_REGISTRY + links.REPLACE,
        _registry_values,
        _by_link(containers.REGISTRY),
        is_asked=True,
    ),
    cache.NAME: Kind(links.FIND, links.REPLACE, _cache_values, _by_link(cache.NAME)),
    containers.GATEWAY: Kind(FIND_GATEWAY, REPLACE_GATEWAY, _gateway_values, _gateway_in_service),
    keeper.NAME: Kind(
        FIND_RUNNING,
        keeper.REPLACE,
        lambda _, folder: {"figures": f"{folder}/{keeper.LIMIT}/{keeper.FIGURES}"},
        _by_running(keeper.NAME),
    ),
    metrics.NAME: Kind(FIND_RUNNING, metrics.REPLACE, lambda _, __: {}, _by_running(metrics.NAME)),
}


def names(container: Container) -> tuple[str, str, str]:
    """Return the names under which there may be a container of this kind, the one that lasts first."""
    return container.name, container.name + NEXT, container.name + FORMER


def replace(container: Container, folder: str, server_name: str, kept: Sequence[str] = ()) -> str:
    """Return the script that creates a container, or replaces it; `folder` is ours on the registry host.

    `server_name` is a name that the gateway's certificate has, `kept` are the owner's limits
    (`containers.owner_limits`).
    """
    kind = KINDS[container.name]
    arguments = shlex.join(containers.create(container, container.digest, kept))
    begin = _begin(container, folder, {"host": server_name})
    return f"{begin}set -- {arguments}\n{kind.find}{kind.replace}"


def finish(container: Container, folder: str) -> str:
    """Return the script that leaves of the containers of one kind only the one in service, under its lasting name."""
    return _begin(container, folder, {}) + KINDS[container.name].find


def seconds_closed(output: str) -> float | None:
    """Return for how long the port answered nobody, from a script's output; None if no gateway was replaced."""
    line = output.strip().rpartition("\n")[2]
    return int(line.removeprefix(CLOSED)) / 1000 if line.startswith(CLOSED) else None


def _begin(container: Container, folder: str, more: dict[str, str]) -> str:
    values = {
        "name": container.name,
        "folder": folder,
        "health": container.health,
        "label": SOCKET_LABEL,
        "gateway": containers.GATEWAY,
        "form": f'{{{{index .Config.Labels "{SOCKET_LABEL}"}}}}',
        **KINDS[container.name].values(container, folder),
        **more,
    }
    assigned = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{OWN_ENGINE}{assigned}\n{COMMON}"
