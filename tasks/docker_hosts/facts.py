"""What a Docker host has: its engines, their files and arguments, and the logins of some users.

What users' own programs print is kept apart from root's output, so that no user can forge facts of the host. It is
limited in time and size, and what goes wrong there keeps nothing else of the host from being known.
"""

from __future__ import annotations

import shlex
from base64 import b64decode
from collections.abc import Sequence

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.accounts.logins import HelperResponse
from tasks.clients import facts as client_hosts
from tasks.clients import mirrors, proxies
from tasks.clients.mirrors import Mirror
from tasks.clients.system_trust import Family
from tasks.docker_hosts import plan
from tasks.docker_hosts.engines import INFO, ROOTLESS, SNAP, SYSTEM, DockerHost, Engine, EngineInfo, read_info
from tasks.docker_hosts.logins import Home
from tasks.remote.docker import NO_CONFIG, SOCKET
from tasks.remote.fact_scripts import Answer, decode, fail_host_on_bad_output, read_answer, script
from tasks.remote.files import NEW_SUFFIX
from tasks.remote.templates import fill
from tasks.remote.users import RUN_AS, SECONDS, TIMED_OUT, User
from tasks.settings.load import Settings
from tasks.settings.redact import printable

ENGINE_FILES = """
emit_paths_in "$1" @PATHS@
for path in @TEXTS@; do emit_text "$1$path"; done
emit_text "$2"
for file in @PATTERNS@; do
    if [ -n "@CACHED@" ] || grep -qsF @MARK@ "$file"; then emit_text "$file"; fi
done
"""
"""Reports the files of an engine: $1 is its folder, $2 its configuration.

Of other registries' it reports what a cache is about, or what was written for one.
"""

EMIT_INFO = """
emit_info() { # SOCKET FOLDER
    [ -S "${1#unix://}" ] && command -v docker >/dev/null || return 0
    if [ -z "@CACHED@" ]; then grep -qsF @MARK@ "$2"/certs.d/*/hosts.toml || return 0; fi
    said=$(timeout 20 env -i PATH="$PATH" docker --config @NO_CONFIG@ -H "$1" info -f @INFO@ 2>/dev/null) || return 0
    printf 'info|%s|%s\\n' "$2" "$(printf '%s' "$said" | base64 -w 0)"
}
"""
"""Reports what a running engine says of itself, if it is to use caches, or has a file that was written for some."""

ENGINES = """
emit_engine() {
    printf 'engine|%s|%s\\n' "$1" "$2"
    @ENGINE_FILES@
}
emit_engine @SYSTEM@
if [ -d /var/snap/docker/current ]; then emit_engine @SNAP@; fi
# A user's own engine: it runs, or dockerd-rootless-setuptool.sh has created its unit.
{
    for socket in /run/user/*/docker.sock; do
        [ -S "$socket" ] || continue
        id=${socket#/run/user/}
        getent passwd "${id%%/*}"
    done
    getent -s files passwd | while IFS=: read -r name x id group x home x; do
        [ "$id" -ge 1000 ] && [ -e "$home/.config/systemd/user/docker.service" ] \\
            && printf '%s::%s:%s::%s:\\n' "$name" "$id" "$group" "$home"
    done
} | while IFS=: read -r name x id group x home x; do printf '%s:%s:%s:%s\\n' "$name" "$id" "$group" "$home"; done \\
  | sort -u | while IFS=: read -r name id group home; do
    capture_as "$id" "$group" "$name" "$home" @AS_USER@ "$home/@ROOTLESS0@" "$home/@ROOTLESS1@"
    printf 'rootless|%s|%s|%s|%s|%s|%s\\n' "$name" "$id" "$group" "$code" "$captured" "$home"
done || exit 1
# Engines in containers are other hosts'. Any user may give this name to a process, or to a link to a program of root.
for file in $(grep -lxs dockerd /proc/[0-9]*/comm); do
    process=${file%/comm}
    [ "$(stat -c %u "$process" 2>/dev/null)" = 0 ] || continue
    case $(readlink "$process/exe") in (*/dockerd*) ;; (*) continue ;; esac
    [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
    arguments=$(base64 -w 0 2>/dev/null < "$process/cmdline") || continue
    printf 'daemon|%s|%s\\n' "${process#/proc/}" "$arguments"
    emit_proxy "${process#/proc/}" "${process#/proc/}"
    folder=@SYSTEM0@
    case $(readlink "$process/exe") in (/snap/*) folder=@SNAP0@ ;; esac
    emit_info @SOCKET@ "$folder"
    file=$(printf '%s' "$arguments" | base64 -d | tr '\\0' '\\n' | awk '
        next_one { print; exit } $0 == "--config-file" { next_one = 1 } sub(/^--config-file=/, "") { print; exit }')
    if [ -f "$file" ]; then
        text=$(encode "$file") || exit 1
        printf 'config|%s|%s\\n' "$(printf '%s' "$file" | base64 -w 0)" "$text"
    fi
done
"""
"""Reports the engines, the arguments of root's running ones, and the configuration files that these name."""

HOME_FILES = """
end_of() { if [ -L "$1" ]; then readlink -f "$1" || printf '%s' "$1"; else printf '%s' "$1"; fi; }
emit_status "$HOME"
for folder in .docker snap/docker/current/.docker; do
    [ "$folder" = .docker ] || [ -d "$HOME/${folder%/.docker}" ] || continue
    folder=$(end_of "$HOME/$folder")
    # Docker follows a link too (docker/cli, configfile/file.go), as one of a program that manages dotfiles.
    file=$(end_of "$folder/config.json")
    printf 'config|%s|%s\\n' "$folder" "$file"
    emit_status "$folder" "$file" "${file%/*}/.${file##*/}@SUFFIX@"
    [ -w "${file%/*}" ] || [ ! -e "${file%/*}" ] || printf 'unwritable|%s\\n' "$file"
    [ -f "$file" ] && [ -r "$file" ] || continue
    emit_text "$file"
    for helper in $(tr '\\n\\r\\t' '   ' < "$file" | grep -oiE '"(credsStore|@KEYS@)" *: *"[A-Za-z0-9._-]+"' \\
            | sed 's/"$//; s/.*"//' | sort -u); do
        for name in @NAMES@; do
            output=$({
                printf '%s' "$name" | timeout -k 2 10 "docker-credential-$helper" get
                echo "|$?"
            } 2>/dev/null | head -c 16384)
            [ "${#output}" -lt 16000 ] || output='|141'  # as of a program whose reader has gone
            case ${output##*|} in (''|*[!0-9]*) output='|141' ;; esac
            printf 'helper|%s|%s|%s|%s\\n' "$helper" "$name" "${output##*|}" \\
                "$(printf '%s' "${output%|*}" | base64 -w 0)"
        done
    done
done
"""
"""Reports the logins in a user's home; runs with that user's rights."""

MOST = 8 << 20
"""How many bytes a user's files and the answers of helpers may amount to."""

TOO_LARGE = 128 + 25
"""The exit code of a shell that the signal SIGXFSZ ended: its output became larger than that."""

# A program of the user's that goes on in the background would hold a pipe open, so the output goes to a file of root's.
CAPTURE_AS = f"""
work=
# capture_as UID GID NAME HOME SCRIPT [ARGUMENT...]: set $captured to the output of a script with a user's rights, in
# Base64, and $code to its exit code. Of a script that fails its last line is kept, which is its error.
capture_as() {{
    if [ -z "$work" ]; then
        work=$(mktemp -d -p /run 2>/dev/null || mktemp -d) || exit 1
        trap 'rm -rf "$work"' EXIT
        ( umask 077; : > "$work/output" )
    fi
    ( ulimit -f {MOST // 512}; run_as "$@" ) > "$work/output" 2>&1 < /dev/null
    code=$?
    if [ "$code" -eq 0 ]; then captured=$(base64 -w 0 < "$work/output")
    else captured=$(tail -c 4096 "$work/output" | tail -n 1 | base64 -w 0); fi
}}
"""

USERS = """
for name in @USERS@; do
    entry=$(getent passwd -- "$name")
    case $? in
        (0) ;;
        (2) printf 'user|%s\\n' "$name"; continue ;;
        (*) exit 1 ;;
    esac
    printf '%s\\n' "$entry" | {
        IFS=: read -r x x id group x home x
        capture_as "$id" "$group" "$name" "$home" @HOME_FILES@
        printf 'user|%s|%s|%s|%s|%s|%s\\n' "$name" "$id" "$group" "$code" "$captured" "$home"
    } || exit 1
done
"""
"""Reports on the users in `registry_login_users`; getent exits with 2 if there is no such user."""


@fail_host_on_bad_output
class DockerHostFact(FactBase[DockerHost | None]):
    """What a Docker host has, read in one round trip."""

    def command(
        self, settings: Settings, users: Sequence[str], family: Family | None, mirror: Mirror | None = None
    ) -> str:
        """Return the script.

        It reports the logins of `users`, the system's trust store if its `family` is set, and what has to do with the
        caches behind a `mirror`.
        """
        names = settings.endpoints
        patterns = mirrors.texts("", mirrors.names(settings) if mirror else [])
        cached = {"CACHED": "yes" if mirror else "", "MARK": shlex.quote(mirrors.MARK)}
        engine_files = fill(
            ENGINE_FILES,
            PATHS=shlex.join(plan.paths(settings, "", mirror)),
            TEXTS=shlex.join(plan.texts(settings, folder="")),
            PATTERNS=" ".join(f'"$1"/certs.d{each}' for each in patterns),
            **cached,
        )
        emit_info = fill(EMIT_INFO, NO_CONFIG=NO_CONFIG, INFO=shlex.quote(INFO), **cached)
        of_user = f'{engine_files}\nemit_info "unix://$XDG_RUNTIME_DIR/docker.sock" "$1"'
        engines = fill(
            ENGINES,
            ENGINE_FILES=engine_files.strip(),
            AS_USER=shlex.quote(script(emit_info, of_user)),
            SYSTEM=shlex.join(SYSTEM),
            SYSTEM0=SYSTEM[0],
            SNAP=shlex.join(SNAP),
            SNAP0=SNAP[0],
            SOCKET=SOCKET,
            ROOTLESS0=ROOTLESS[0],
            ROOTLESS1=ROOTLESS[1],
        )
        parts = [client_hosts.emit(family), RUN_AS, CAPTURE_AS, proxies.EMIT, emit_info, engines]
        if users:
            keys = "|".join("".join(f"[{c}]" if c in ".[" else c for c in name) for name in names)
            home_files = script(fill(HOME_FILES, KEYS=keys, NAMES=shlex.join(names), SUFFIX=NEW_SUFFIX))
            parts.append(fill(USERS, USERS=shlex.join(users), HOME_FILES=shlex.quote(home_files)))
        return script(*parts)

    def process(self, output: list[str]) -> DockerHost:
        """Parse the output; `FactProcessError` if it is incomplete."""
        answer = read_answer(output)
        rootless = [_rootless(*fields) for fields in answer.all("rootless")]
        paths, texts, info = dict(answer.paths), dict(answer.texts), _info(answer)
        for path, text in answer.all("config"):
            name = _bytes(path)
            texts[name] = decode(name, text)
        for engine, reported, _ in rootless:  # only files of that engine, so that no user can forge others
            below = f"{engine.folder}/"
            paths |= {path: found for path, found in reported.paths.items() if path.startswith(below)}
            texts |= {path: text for path, text in reported.texts.items() if path.startswith(below)}
            info |= {folder: each for folder, each in _info(reported).items() if folder == engine.folder}
        return DockerHost(
            paths=paths,
            texts=texts,
            engines=[
                *(Engine(folder, configuration) for folder, configuration in answer.all("engine")),
                *(engine for engine, _, _ in rootless),
            ],
            unread={engine.folder: error for engine, _, error in rootless if error},
            daemons={pid: _bytes(text).split("\0")[:-1] for pid, text in answer.all("daemon")},
            homes={name: _home(name, fields) for name, *fields in answer.all("user")},
            client=client_hosts.read(answer),
            proxies=proxies.read(answer),
            info=info,
        )


def _rootless(
    name: str, uid: str, gid: str, code: str, output: str, *home: str
) -> tuple[Engine, Answer, str]:
    """Return a user's engine, what was read of it with that user's rights, and why it could not be read."""
    user = User(name, int(uid), int(gid), "|".join(home))
    folder, configuration = (f"{user.home}/{path}" for path in ROOTLESS)
    return Engine(folder, configuration, user), *_as_user(code, output)


def _as_user(code: str, output: str) -> tuple[Answer, str]:
    """Return what a script with a user's rights printed, and why it is unknown if it is."""
    printed = b64decode(output).decode(errors="replace")
    if int(code) in TIMED_OUT:
        return Answer(), f"no answer in {SECONDS} s"
    if int(code) == TOO_LARGE:
        return Answer(), f"more than {MOST >> 20} MiB"
    if int(code):
        return Answer(), printable(printed.strip()) or f"exit code {int(code)}"
    try:
        answer = read_answer(printed.split("\n"))
        _ = answer.paths, answer.texts, _info(answer), [_response(each) for each in answer.all("helper")]
    except FactProcessError as error:
        return Answer(), str(error)
    except (ValueError, LookupError, TypeError):
        return Answer(), "the answer is malformed"
    return answer, ""


def _info(answer: Answer) -> dict[str, EngineInfo]:
    said = {"|".join(folder): read_info(_bytes(text)) for *folder, text in answer.all("info")}
    return {folder: info for folder, info in said.items() if info}


def _bytes(encoded: str) -> str:
    """Decode Base64 of arbitrary bytes to a string, as `os.fsdecode` does."""
    return b64decode(encoded).decode(errors="surrogateescape")


def _home(name: str, fields: list[str]) -> Home | None:
    if not fields:
        return None
    uid, gid, code, output, *home = fields
    answer, error = _as_user(code, output)
    return Home(
        user=User(name, int(uid), int(gid), "|".join(home)),
        folders={folder: "|".join(file) for folder, *file in answer.all("config")},
        paths=answer.paths,
        texts=answer.texts,
        responses=dict(_response(fields) for fields in answer.all("helper")),
        unwritable=frozenset("|".join(path) for path in answer.all("unwritable")),
        unread=error,
    )


def _response(fields: list[str]) -> tuple[tuple[str, str], HelperResponse]:
    helper, registry, code, printed = fields
    return (helper, registry), HelperResponse(int(code), b64decode(printed).decode(errors="replace"))
