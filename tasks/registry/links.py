"""The scripts for containers that the gateway reaches by a socket: a link names the one in service.

A new container listens on a socket beside that of the one before. The gateway goes on to it when one rename makes the
link name that socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.registry import containers
from tasks.registry.containers import FORMER, NEXT

# The container in service is the one whose socket the link names. A registry from before there was a link has no label:
# it listens in the link's place, and Go removes the name that it listens on when it ends (net.UnixListener).
# The gateway's idle connections end within two seconds (keepalive_time), and are in the list of its network namespace:
# no request then meets a container's end.
FIND = """
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

REPLACE = """
socket=a.sock
if there "$name" && [ "$(socket_of "$name")" = "$socket" ]; then socket=b.sock; fi
create --label="$label=$socket" --env="$listen_by=$sockets/$socket" "$@"
become_healthy || give_up "$said"
prove
said=$({ ln -sfn "$socket" "$new_link" && mv -fT "$new_link" "$link"; } 2>&1) || give_up "$said"
sync "$run" 2>/dev/null || sync
take_over
retire "$former"
"""

# The new registry has to give each of a few stored manifests and blobs that the one before gives. The new one is asked
# first: what is deleted meanwhile makes no difference then. The login comes on standard input, and is printed nowhere.
PROVE_REGISTRY = """
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
"""


def in_service(name: str, present: Mapping[str, Mapping[str, Any]], socket: str | None) -> str:
    """Return the name of the container in service by the same rule, given the socket that the link names."""
    there = [each for each in (name, name + NEXT, name + FORMER) if each in present]
    return next((each for each in there if containers.socket(present[each]) == socket), name)
