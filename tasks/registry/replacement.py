"""Replacing a container: what works goes only when what comes after it was seen to work.

A script decides by what the host has while it runs, under a lock. Killed anywhere, it leaves one container in service,
and the next script removes what is left of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tasks.registry import containers, keeper
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

# The registry in service is the one whose socket the link names. One from before there was a link has no label: it
# listens in the link's place, and Go removes the name that it listens on when it ends (net.UnixListener).
# The gateway's idle connections end within two seconds (keepalive_time), and are in the list of its network namespace:
# no request then meets a registry's end.
FIND_REGISTRY = """
run=$folder/run link=$folder/run/registry.sock
socket_of() { docker container inspect -f "$form" "$1"; }
drain() {
    own=$(socket_of "$1") || exit 1
    pid=$(docker container inspect -f '{{.State.Pid}}' "$gateway" 2>/dev/null)
    if [ -z "$own" ] && [ -L "$link" ]; then
        trap 'chmod 0700 "$run"' EXIT
        chmod 0500 "$run"
    fi
    for _ in $(seq 30); do
        open=$(grep -c " $sockets/${own:-registry.sock}\\$" "/proc/$pid/net/unix" 2>/dev/null)
        [ "${open:-0}" -gt 0 ] || break
        sleep 0.1
    done
}
serving=$name
for each in "$name" "$spare" "$former"; do
    there "$each" || continue
    its=$(socket_of "$each") || exit 1
    if [ "$its" = "$(readlink "$link")" ]; then
        serving=$each
        break
    fi
done
finish
"""

# The new registry has to give each of a few stored manifests and blobs that the one before gives. The new one is asked
# first: what is deleted meanwhile makes no difference then. The login comes on standard input, and is printed nowhere.
REPLACE_REGISTRY = """
authorization=$(cat)
paths() {
    root=$storage/docker/registry/v2
    find "$root/repositories" \\( -name _layers -o -name _uploads \\) -prune -o \\
        -path '*/_manifests/tags/*/current/link' -size +0 -print 2>/dev/null | head -n 3 | while IFS= read -r file; do
        repository=${file#"$root/repositories/"}
        repository=${repository%%/_manifests/*}
        digest=$(cat "$file")
        data=$root/blobs/sha256/$(printf %.2s "${digest#sha256:}")/${digest#sha256:}/data
        echo "/v2/$repository/manifests/$digest"
        grep -aoE 'sha256:[0-9a-f]{64}' "$data" | head -n 1 | sed "s|^|/v2/$repository/blobs/|"
    done
    echo /v2/
}
ask() {
    for path in $asked; do
        printf 'HEAD %s HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: %s\\r\\nAccept: %s\\r\\n' \\
            "$path" "$authorization" "$manifests"
        [ "$path" != /v2/ ] || printf 'Connection: close\\r\\n'
        printf '\\r\\n'
    done | perl -MSocket -e 'alarm 30; socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($ARGV[0]))
        or exit 1; local $/; syswrite S, <STDIN>; print <S>' "$1" | sed -n 's|^HTTP/1.1 \\([0-9]*\\).*|\\1|p'
}
prove() {
    command -v perl >/dev/null || return 0
    asked=$(paths)
    for _ in $(seq 40); do
        new=$(ask "$run/$socket")
        [ -z "$new" ] || break
        sleep 0.25
    done
    case $new in
        (*200) ;;
        (*) give_up "$name does not answer as it should on its socket: $(echo ${new:-nothing})" ;;
    esac
    old=$(running "$name" && ask "$link")
    set -- $old
    for path in $asked; do
        [ "${1:-}" != 200 ] || [ "${new%%[!0-9]*}" = 200 ] || give_up "$name gives ${new%%[!0-9]*} for $path"
        new=${new#*[!0-9]}
        [ $# -eq 0 ] || shift
    done
}
socket=a.sock
if there "$name" && [ "$(socket_of "$name")" = "$socket" ]; then socket=b.sock; fi
create --label="$label=$socket" --env=REGISTRY_HTTP_ADDR="$sockets/$socket" "$@"
become_healthy || give_up "$said"
prove
said=$({ ln -sfn "$socket" "$new_link" && mv -fT "$new_link" "$link"; } 2>&1) || give_up "$said"
sync "$run" 2>/dev/null || sync
take_over
retire "$former"
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


FIND = {containers.REGISTRY: FIND_REGISTRY, containers.GATEWAY: FIND_GATEWAY, keeper.NAME: keeper.FIND}


def names(container: Container) -> tuple[str, str, str]:
    """Return the names under which there may be a container of this kind, the one that lasts first."""
    return container.name, container.name + NEXT, container.name + FORMER


def replace(container: Container, folder: str, server_name: str, kept: Sequence[str] = ()) -> str:
    """Return the script that creates a container, or replaces it; `folder` is ours on the registry host.

    `kept` are the owner's limits (`containers.owner_limits`).

    The registry's script reads an Authorization header from standard input.
    """
    arguments = shlex.join(containers.create(container, container.digest, kept))
    if container.name == keeper.NAME:
        figures = {"figures": f"{folder}/{keeper.LIMIT}/{keeper.FIGURES}"}
        return "".join(
            [_begin(container, folder, figures), f"set -- {arguments}\n", keeper.FIND, keeper.REPLACE]
        )
    if container.publish:
        more = {
            "host": server_name,
            "inner_port": str(GATEWAY_PORT),
            "outer": f"{listen.local(container.listen)}:{container.publish}",
            "publish": f"{listen.bracketed(container.listen)}:{container.publish}:{GATEWAY_PORT}".lstrip(":"),
            "closed": CLOSED,
        }
        return "".join(
            [_begin(container, folder, more), f"set -- {arguments}\n", FIND_GATEWAY, REPLACE_GATEWAY]
        )
    storage = next(mount.source for mount in container.mounts if mount.target == containers.STORAGE)
    more = {
        "storage": storage,
        "manifests": MANIFESTS,
        "new_link": files.temporary(f"{folder}/{SOCKET}"),
    }
    return "".join(
        [_begin(container, folder, more), f"set -- {arguments}\n", FIND_REGISTRY, REPLACE_REGISTRY]
    )


def finish(container: Container, folder: str) -> str:
    """Return the script that leaves of the containers of one kind only the one in service, under its lasting name."""
    return _begin(container, folder, {}) + FIND[container.name]


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
        "sockets": SOCKETS,
        **more,
    }
    assigned = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{OWN_ENGINE}{assigned}\n{COMMON}"
