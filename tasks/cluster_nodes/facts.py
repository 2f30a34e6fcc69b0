"""What a node has: which container runtimes, their configuration with all that it imports, and our files in it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.clients import facts as client_hosts
from tasks.clients.system_trust import Family
from tasks.cluster_nodes import plan
from tasks.cluster_nodes.plan import DISTRIBUTIONS, OF_UNIT, UNITS, Node
from tasks.cluster_nodes.runtimes import containerd, containerd_config, crio_podman, k3s_rke2
from tasks.remote.fact_scripts import emit_paths, emit_texts, fail_host_on_bad_output, read_answer, script
from tasks.remote.files import NEW_SUFFIX

# A unit that runs is told with the moment it was started. systemctl has --timestamp from 248 on; before, whole
# seconds have to do, cut off, so that a restart may come once more than it has to.
SERVICES = r"""
show() {
    systemctl show -p Id -p LoadState -p ActiveState -p MainPID -p ExecMainStartTimestamp -p RequiredBy -p BoundBy \
        -p ConsistsOf -p ExecStart -p Environment -p EnvironmentFiles "$@"
}
pid=; loaded=; told=; load=; active=; started=; requiring=
if [ -d /run/systemd/system ]; then
    told=$(show --timestamp=us+utc $units 2>/dev/null || show $units) || exit 1
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
                if [ "$active" = active ] && [ -n "$started" ]; then
                    started=$(date -d "$started" +%s.%N) || exit 1
                    echo "started|$id|$started|$main"
                    [ "$id" != containerd.service ] || pid=$main
                fi
                [ "$id" != containerd.service ] || for each in $requiring; do echo "requiring|$each"; done
                load=; active=; started=; requiring= ;;
        esac
    done <<END
$told

END
fi
"""

# A bar parts the fields of an answer.
REJECT_PIPE = r"""
reject_pipe() { case $1 in (*'|'*) echo "unsupported_path|$1"; return 1 ;; esac; }
"""

# K3s puts links to itself beside it, and RKE2's containerd may be on the path: neither is one of its own.
PROGRAMS = r"""
for name in k3s rke2 crio podman; do
    if command -v $name >/dev/null || [ -x "/usr/local/bin/$name" ]; then echo "program|$name"; fi
done
program=$(readlink -f "$(command -v containerd || echo /nowhere)")
case $program in
    (/nowhere|*/rancher/*|*/k3s|*/rke2) ;;
    (*) if [ -x "$program" ]; then
        version=$("$program" --version) || exit 1
        echo "containerd|$(echo "$version" | cut -d ' ' -f 3)"
    fi ;;
esac
"""

# Each import is told as it was read, for Python to see that it was read as TOML has it.
# The main file is followed with all it imports, in whatever order; more files than are imported do no harm. A line
# break parts the names, as it cannot be in one.
CONTAINERD = r"""
nl='
'
if [ -n "$pid" ] && [ "$pid" != 0 ]; then
    flag='--\{0,1\}c\(onfig\)\{0,1\}'
    given=$(tr '\0' '\n' < "/proc/$pid/cmdline" | sed -n "/^$flag\$/{n;p;};s/^$flag=//p")
    [ -z "$given" ] || config=$(realpath -ms -- "$given") || exit 1
fi
echo "config|$config"
imports() {
    uncommented=$(sed 's/^[[:space:]]*#.*//' < "$1" | tr '\n' ' ')
    echo "$uncommented" | grep -o 'imports[[:space:]]*=[[:space:]]*\[[^]]*\]' |
        grep -o "\"[^\"]*\"\|'[^']*'" | sed "s/^.//;s/.\$//;s|^[^/]|${1%/*}/&|"
}
pending=$config; seen=; roots=$certs
while [ -n "$pending" ]; do
    file=${pending%%"$nl"*}
    case $pending in (*"$nl"*) pending=${pending#*"$nl"} ;; (*) pending= ;; esac
    case "$nl$seen$nl" in (*"$nl$file$nl"*) continue ;; esac
    seen="$seen$nl$file"
    [ -f "$file" ] && reject_pipe "$file" || continue
    emit_text "$file"
    emit_path "${file%/*}/.${file##*/}$suffix"
    named=$(imports "$file")
    roots="$roots$nl$(grep -o "config_path[[:space:]]*=[[:space:]]*[\"'][^\"']*" < "$file" | sed "s/^[^\"']*.//")"
    IFS=$nl
    set -f
    for each in $named; do
        each=$(realpath -ms -- "$each") || exit 1
        echo "import|$each"
    done
    set +f
    for each in $named; do
        each=$(realpath -ms -- "$each") || exit 1
        pending="$pending${pending:+$nl}$each"
    done
    unset IFS
done
IFS=$nl
for root in $(echo "$roots" | sed 's|\(.\)/*$|\1|' | sort -u); do
    case $root in
        (*:*) ;;
        (*'|'*) reject_pipe "$root" ;;
        (/*)
            emit_path "$root"
            for each in $below; do emit_path "$root/$each"; done
            for each in $below; do case $each in (*/ca.crt|*/hosts.toml) emit_text "$root/$each" ;; esac; done ;;
    esac
done
unset IFS
"""

# The data folder as the command line has it, or else the configuration, of which a later file wins
# (docs.k3s.io/installation/configuration), or else the environment. systemd tells a command line with blanks between
# its words, whatever these hold. K3s's own, in /proc, holds none any more.
RANCHER = r"""
argued() {
    flag='\(-d\|--\{0,1\}data-dir\)'
    sed -n 's/^ExecStart=.* argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tr ' ' '\n' |
        sed -n "/^$flag\$/{n;p;};s/^$flag=//p" | tail -n 1
}
configured() {
    cat "$rancher/$1/config.yaml" "$rancher/$1/config.yaml.d"/*.yaml 2>/dev/null |
        sed -n "s/^\([\"']\{0,1\}\)data-dir\1[[:space:]]*:[[:space:]]*[\"']\{0,1\}\([^\"'#]*[^\"'#[:space:]]\).*/\2/p" |
        tail -n 1
}
surrounding() {
    while read -r line; do
        case $line in
            (Environment=*) printf '%s\n' "${line#*=}" | tr ' ' '\n' ;;
            (EnvironmentFile*=*) line=${line#*=}; cat -- "${line% (ignore_errors=*}" 2>/dev/null ;;
        esac
    done | sed -n "s/^[\"']\{0,1\}$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" | tail -n 1
}
for name in $kinds; do
    data=; shown=
    case $loaded in (*" $name."*|*" $name-"*)
        shown=$(printf '%s\n' "$told" |
            awk -v RS= -v id="\nId=$name(-[a-z]+)?[.]service\n" '("\n" $0 "\n") ~ id') || exit 1
        data=$(printf '%s\n' "$shown" | argued) ;;
    esac
    [ -n "$data" ] || [ ! -d "$rancher/$name" ] || data=$(configured "$name")
    [ -n "$data" ] || [ -z "$shown" ] ||
        data=$(printf '%s\n' "$shown" | surrounding "$(echo "${name}_DATA_DIR" | tr a-z A-Z)")
    data=${data:-/var/lib/rancher/$name}
    echo "data|$name|$data"
    reject_pipe "$data" || continue
    IFS=$nl
    for each in $generated; do emit_text "$data/agent/etc/containerd/$each"; done
    unset IFS
    for file in $drop_ins; do
        for each in "$data/agent/etc/containerd/$file"/*.toml; do ! reject_pipe "$each" || emit_text "$each"; done
    done
done
"""


@fail_host_on_bad_output
class ClusterNodeFact(FactBase[Node | None]):
    """One round trip. What it tells may hold passwords, of the user's and ours."""

    def command(self, endpoints: Sequence[str], trusting: Family | None) -> str:
        """Return the script. `endpoints` are the registry's; `trusting` is whose trust store is read, None for none."""
        given = {
            "config": containerd.CONFIG,
            "certs": containerd_config.CERTS,
            "below": "\n".join(containerd.relative(endpoints)),
            "rancher": k3s_rke2.FOLDER,
            "kinds": " ".join(DISTRIBUTIONS),
            "generated": "\n".join(k3s_rke2.relative(endpoints)),
            "drop_ins": " ".join(k3s_rke2.DROP_INS),
            "units": " ".join(UNITS),
            "suffix": NEW_SUFFIX,
        }
        patterns = f"{crio_podman.DROP_INS} {crio_podman.CRIO_DROP_INS}"
        return script(
            "\n".join(f"{name}={shlex.quote(value)}" for name, value in given.items()),
            emit_paths(plan.paths(endpoints)),
            emit_texts(plan.texts(endpoints)),
            REJECT_PIPE,
            f'for file in {patterns}; do ! reject_pipe "$file" || emit_text "$file"; done',
            SERVICES,
            PROGRAMS,
            CONTAINERD,
            RANCHER,
            client_hosts.emit(trusting),
        )

    def process(self, output: list[str]) -> Node:
        """Read the answer; `FactProcessError` where it is not whole, or tells of a path that cannot be told."""
        answer = read_answer(output)
        for path in answer.all("unsupported_path"):
            raise FactProcessError(f"{'|'.join(path)} has a | in its name, which is not supported: rename it")
        found = {name for (name,) in answer.all("program")}
        found |= {OF_UNIT[unit] for (unit,) in answer.all("unit") if unit in OF_UNIT}
        if answer.one("containerd") is not None:
            found.add("containerd")
        return Node(
            runtimes=frozenset(found),
            started={unit: float(started) for unit, started, _ in answer.all("started")},
            containerd_version=answer.one("containerd") or "",
            containerd_config=answer.one("config") or "",
            data=dict(answer.all("data")),
            paths=answer.paths,
            texts=answer.texts,
            client=client_hosts.read(answer),
            imports=frozenset("|".join(pattern) for pattern in answer.all("import")),
            requiring_containerd=frozenset(unit for (unit,) in answer.all("requiring")),
        )
