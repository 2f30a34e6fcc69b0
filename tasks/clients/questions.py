"""Questions to the registry that a client host asks through the very program that it will pull with.

Each asks for an image that nobody has, without a login: a client that is refused for the login has resolved the name,
passed the proxy if there is one, and verified the certificate; and a pull that fails leaves nothing. If that program
cannot be asked, curl or openssl verifies the certificate with the very file that the runtime reads. So it is with the
caches: the runtime itself would ask the internet if they do not answer.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.remote.templates import fill
from tasks.remote.users import RUN_AS, User

IMAGE = "homelab-registry/probe:none"
"""The image that is asked for."""

SECONDS = 20
"""How long an answer may take. Docker gives up by itself after 15 s, and then says why."""

CANNOT_ASK, DOES_NOT_RUN = 99, 98
"""The exit codes if there is no program to ask with, and if the runtime does not run."""

# A login file with an entry keeps docker from looking for a credential helper.
# Go's resolver may know /etc/hosts as it was up to 5 s ago (net/hosts.go, cacheMaxAge), so an error that a stale
# address explains is asked again after that.
_FUNCTIONS = fill(
    """
with_login_file() {
    folder=$(mktemp -d) || return @CANNOT_ASK@
    trap 'rm -rf "$folder"' EXIT
    echo '{"auths": {"homelab-registry.invalid": {}}}' > "$folder/config.json"
}
ask_docker() { # ENDPOINT SOCKET
    [ -S "${2#unix://}" ] || return @DOES_NOT_RUN@
    PATH=$PATH:/snap/bin
    command -v docker >/dev/null || return @CANNOT_ASK@
    with_login_file || return
    timeout @SECONDS@ env -i PATH="$PATH" docker --config "$folder" -H "$2" pull -q "$1/@IMAGE@"
}
ask_podman() { # ENDPOINT
    with_login_file || return
    timeout @SECONDS@ env -u XDG_RUNTIME_DIR -u REGISTRY_AUTH_FILE HOME=/root \\
        podman pull -q --authfile "$folder/config.json" "$1/@IMAGE@"
}
ask_cri() { # ENDPOINT SOCKET CLIENT...
    endpoint=$1 socket=$2
    [ -S "${2#unix://}" ] || return @DOES_NOT_RUN@
    shift 2
    for client; do
        program=$(command -v "${client%% *}") || continue
        [ "$client" = "${client%% *}" ] || program="$program ${client#* }"
        timeout @SECONDS@ $program -r "$socket" -i "$socket" pull "$endpoint/@IMAGE@"
        return
    done
    return @CANNOT_ASK@
}
ask_tls() { # HOST PORT CA
    at=$1 check=-verify_ip
    case $1 in (*:*) at="[$1]" ;; (*[!0-9.]*) check=-verify_hostname ;; esac
    if command -v curl >/dev/null; then
        curl -q -sS --noproxy '*' --max-time @SECONDS@ --cacert "$3" --capath /nonexistent -o /dev/null \\
            "https://$at:$2/v2/"
    elif command -v openssl >/dev/null; then
        timeout @SECONDS@ openssl s_client -connect "$at:$2" -servername "$1" $check "$1" -verify_return_error \\
            -CAfile "$3" -no-CApath </dev/null
    else
        return @CANNOT_ASK@
    fi
}
ask_mirror() { # ENDPOINT HOST CA
    if command -v curl >/dev/null; then
        curl -q -sS -f --noproxy '*' --max-time @SECONDS@ --cacert "$3" --capath /nonexistent -o /dev/null \\
            "https://$1/v2/"
    elif command -v openssl >/dev/null; then
        at=$1
        case $1 in (*:*) ;; (*) at=$1:443 ;; esac
        said=$(printf 'GET /v2/ HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' "$1" | timeout @SECONDS@ openssl s_client -quiet \\
            -connect "$at" -servername "$2" -verify_hostname "$2" -verify_return_error -CAfile "$3" -no-CApath 2>&1) \\
            || { code=$?; printf '%s\\n' "$said"; return "$code"; }
        case $said in (*HTTP/1.?' 200 '*) ;; (*) printf '%s\\n' "$said" | grep '^HTTP/'; return 22 ;; esac
    else
        return @CANNOT_ASK@
    fi
}
ask_proxied() { return 1; }
ask() { # NUMBER HOST PORT CA FUNCTION ARGUMENT...
    number=$1 host=$2 port=$3 ca=$4 how=$5
    shift 4
    output=$("$@" 2>&1)
    code=$?
    case $output in (*'no such host'*|*'connection refused'*|*'no route to host'*)
        sleep 6
        output=$("$@" 2>&1)
        code=$? ;;
    esac
    if [ "$code" = @CANNOT_ASK@ ]; then
        how=ask_tls
        output=$(ask_tls "$host" "$port" "$ca" 2>&1)
        code=$?
    fi
    printf 'answer|%s|%s|%s|%s\\n' "$number" "$how" "$code" "$(printf '%s' "$output" | tail -c 2000 | base64 -w 0)"
}
""",
    IMAGE=IMAGE,
    SECONDS=SECONDS,
    CANNOT_ASK=CANNOT_ASK,
    DOES_NOT_RUN=DOES_NOT_RUN,
)


@dataclass(frozen=True)
class Question:
    """One question: `words` are the function that asks, and its arguments after the endpoint.

    `title` is the runtime that is asked, for people, and `ca` the file with the CA that it reads. `user` is who runs
    it, None for root. `proxy` is where a proxy is set that it would ask for this endpoint, None if it asks directly,
    and `restart` the command after which it reads its environment again.
    """

    title: str
    endpoint: str
    host: str
    port: int
    ca: str
    words: tuple[str, ...]
    user: User | None = None
    proxy: str | None = None
    restart: str = ""


def of_mirror(
    title: str, endpoint: str, host: str, port: int, ca: str, proxy: str | None = None, restart: str = ""
) -> Question:
    """Return the question to the caches at an endpoint, with the file of the CA that a runtime reads for them.

    A runtime with a `proxy` for them is not asked: it would not reach them.
    """
    words = ("ask_proxied",) if proxy else ("ask_mirror", host, ca)
    return Question(title, endpoint, host, port, ca, words, proxy=proxy, restart=restart)


def emit(questions: Sequence[Question]) -> str:
    """Return the shell lines that ask all of them at once."""
    return "\n".join([RUN_AS, _FUNCTIONS, *map(_line, range(len(questions)), questions), "wait"])


def _line(number: int, question: Question) -> str:
    function, *arguments = question.words
    words = [function, question.endpoint, *arguments]
    if user := question.user:
        script = f"{_FUNCTIONS}\n{shlex.join(words)}"
        words = ["run_as", str(user.uid), str(user.gid), user.name, user.home, script]
    return f"ask {shlex.join([str(number), question.host, str(question.port), question.ca, *words])} &"
