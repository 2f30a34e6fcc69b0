"""What a node has: which container runtimes, their configuration, and our files in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.clients import facts as client_hosts
from tasks.clients import proxies
from tasks.clients.system_trust import Family
from tasks.cluster_nodes.node import Node
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.remote import files
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.remote.steps import Conflict
from tasks.remote.templates import fill

# Sets $services to what systemd says of $units, $loaded to those that are installed, and $pid to containerd's process.
# systemctl has --timestamp since 248. An older one prints whole seconds, cut off: a restart may then come once too
# often.
SERVICES = r"""
show() {
    systemctl show -p Id -p LoadState -p ActiveState -p MainPID -p ExecMainStartTimestamp -p RequiredBy -p BoundBy \
        -p ConsistsOf -p ExecStart -p Environment -p EnvironmentFiles "$@"
}
pid=; loaded=; services=; load=; active=; started=; requiring=
if [ -d /run/systemd/system ]; then
    services=$(show --timestamp=us+utc $units 2>/dev/null || show $units) || exit 1
    while IFS='=' read -r key value; do
        case $key in
            (Id) id=$value ;;
            (LoadState) load=$value ;;
            (ActiveState) active=$value ;;
            (MainPID) main=$value ;;
            (ExecMainStartTimestamp) started=$value ;;
            (RequiredBy|BoundBy|ConsistsOf) requiring="$requiring $value" ;;
            ('')
                if [ "$load" = loaded ]; then echo "unit|$id"; loaded="$loaded $id"; fi
                case $active in (failed|activating) echo "failing|$id" ;; esac
                if [ "$active" = active ] && [ -n "$started" ]; then
                    started=$(date -d "$started" +%s.%N) || exit 1
                    echo "started|$id|$started|$main"
                    emit_proxy "$id" "$main"
                    [ "$id" != containerd.service ] || pid=$main
                fi
                [ "$id" != containerd.service ] || for each in $requiring; do echo "requiring|$each"; done
                load=; active=; started=; requiring= ;;
        esac
    done <<END
$services

END
fi
"""

# Not every search path has /usr/local/bin. A | separates the fields of an answer, so no path may have one.
FUNCTIONS = fill(
    r"""
nl='
'
has_program() { command -v "$1" >/dev/null || [ -x "/usr/local/bin/$1" ]; }
reject_pipe() { case $1 in (*'|'*) echo "unsupported_path|$1"; return 1 ;; esac; }
emit_file() { # the text of a file, and what a killed run left beside it
    if [ -f "$1" ] && reject_pipe "$1"; then emit_text "$1"; emit_paths "${1%/*}/.${1##*/}@SUFFIX@"; fi
}
""",
    SUFFIX=files.NEW_SUFFIX,
)


MOST_ROUND_TRIPS = 10
"""Each level of imports costs one. A host whose files change all the time must not keep the run waiting."""


def paths(endpoints: Sequence[str]) -> list[str]:
    """Return the paths of files and folders to look at on every node."""
    login_files = dict.fromkeys(runtime.login_file for runtime in RUNTIMES.values() if runtime.login_file)
    found = [path for runtime in RUNTIMES.values() for path in runtime.paths(endpoints)]
    return list(dict.fromkeys([*found, *files.observed_paths(login_files)]))


def texts(endpoints: Sequence[str]) -> list[str]:
    """Return the paths of files to read on every node, as patterns in which `*` stands for any part of a name."""
    login_files = [runtime.login_file for runtime in RUNTIMES.values() if runtime.login_file]
    found = [path for runtime in RUNTIMES.values() for path in runtime.texts(endpoints)]
    return list(dict.fromkeys([*found, *login_files]))


def read_node(endpoints: Sequence[str], read: Callable[[list[str], list[str]], Node]) -> Node:
    """Return what `read` finds on a node, which is given paths to look at and texts to read besides the usual ones.

    At first there are none. If a file on the node names others, as an import does, all is read once more with these.
    Raises `Conflict` if there is no end to that.
    """
    named: tuple[list[str], list[str]] = ([], [])
    for _ in range(MOST_ROUND_TRIPS):
        found, before = read(*named), named
        more = [runtime.more(endpoints, found) for runtime in RUNTIMES.values()]
        named = [path for paths, _ in more for path in paths], [path for _, texts in more for path in texts]
        if named == before:
            return found
    raise Conflict(
        f"containerd's configuration names further files more than {MOST_ROUND_TRIPS - 1} times over",
        "import them from its main file and run again",
    )


def _emit(paths: Iterable[str], patterns: Iterable[str]) -> str:
    # A shell's `*` matches no name that begins with a dot.
    all_names = [each for pattern in patterns for each in (pattern, re.sub(r"/(\*[^/]*)$", r"/.\1", pattern))]
    words = ["*".join(map(shlex.quote, pattern.split("*"))) for pattern in dict.fromkeys(all_names)]
    return (
        f'for path in {shlex.join(paths)}; do reject_pipe "$path"; done\nemit_paths {shlex.join(paths)}\n'
        f'for file in {" ".join(words)}; do emit_file "$file"; done'
    )


@fail_host_on_bad_output
class ClusterNodeFact(FactBase[Node | None]):
    """What a node has, in one round trip. The answer may hold passwords, the user's and ours."""

    def command(
        self, endpoints: Sequence[str], trusting: Family | None, more_paths: list[str], more_texts: list[str]
    ) -> str:
        """Return the script.

        `endpoints` are the registry's. `trusting` is the family whose trust store is read, None to read none.
        `more_paths` and `more_texts` are looked at besides `paths` and `texts`.
        """
        units = [unit for runtime in RUNTIMES.values() for unit in (*runtime.units, *runtime.other_units)]
        return script(
            FUNCTIONS,
            proxies.EMIT,
            f"units={shlex.quote(' '.join(units))}",
            SERVICES,
            _emit([*paths(endpoints), *more_paths], [*texts(endpoints), *more_texts]),
            *(runtime.script(endpoints) for runtime in RUNTIMES.values()),
            client_hosts.emit(trusting),
        )

    def process(self, output: list[str]) -> Node:
        """Read the answer; `FactProcessError` if it was cut short, or a path has a | in it."""
        answer = read_answer(output)
        for path in answer.all("unsupported_path"):
            raise FactProcessError(f"{'|'.join(path)} has a | in its name, which is not supported: rename it")
        found = {name for (name,) in answer.all("runtime")}
        installed = {unit for (unit,) in answer.all("unit")}
        found |= {name for name, runtime in RUNTIMES.items() if installed.intersection(runtime.units)}
        return Node(
            runtimes=frozenset(found),
            started={unit: float(started) for unit, started, _ in answer.all("started")},
            containerd_version=answer.one("containerd") or "",
            containerd_config=answer.one("config") or "",
            data=dict(answer.all("data")),
            paths=answer.paths,
            texts=answer.texts,
            client=client_hosts.read(answer),
            requiring_containerd=frozenset(unit for (unit,) in answer.all("requiring")),
            proxies=proxies.read(answer),
            failing=frozenset(unit for (unit,) in answer.all("failing")),
            containerd_socket=answer.one("socket") or "",
            through=dict(answer.all("through")),
            containerd_default=int(answer.one("default") or 0),
        )
