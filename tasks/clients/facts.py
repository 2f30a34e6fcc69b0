"""What every host that uses the registry has: `/etc/hosts`, and our certificates in the system's trust store.

A part of the facts of Docker hosts and of cluster nodes, so that each needs one round trip.
"""

from __future__ import annotations

import binascii
import gzip
import zlib
from base64 import b64decode
from collections import defaultdict

from tasks.clients import hosts_file, system_trust
from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.clients.system_trust import Family, TrustStore
from tasks.remote.fact_scripts import Answer, emit_paths
from tasks.remote.templates import fill

# A hosts file may have any size and any bytes, as one with a block list of 60,000 names. A mount's root shows who made
# it: Docker, containerd's CRI or a kubelet. cloud-init takes the template of the system's family (`osfamily`).
HOSTS = fill(
    """
emit_any() {
    [ -f "$2" ] || return 0
    text=$(gzip -c < "$2" | base64 -w 0)
    [ -n "$text" ] || exit 1
    printf '%s|%s\\n' "$1" "$text"
}
hosts=$(readlink -f @PATH@) || hosts=@PATH@
emit_any hosts "$hosts"
emit_any rescue @RESCUE@
printf 'hosts_path|%s\\n' "$hosts"
grep -F " $hosts " /proc/self/mountinfo | while read -r x x x root at x; do
    [ "$at" = "$hosts" ] || continue
    echo 'mount|yes'
    case $root in (*/containers/*/hosts|*/userdata/hosts|*/etc-hosts|*/sandboxes/*/hosts) echo 'engine_s|yes' ;; esac
done
folder=${hosts%/*}
if [ ! -w "$folder" ] || { [ -e "$hosts" ] && [ ! -w "$hosts" ]; } || [ "$(stat -c %u "$folder")" != 0 ]; then
    echo 'unwritable|yes'
fi
if grep -qsi '^[[:space:]]*generateHosts[[:space:]]*=[[:space:]]*"\\{0,1\\}false' /etc/wsl.conf; then
    echo 'wsl_keeps|yes'
fi
if [ -d /etc/cloud/templates ]; then
    template=$(grep -ao '/etc/cloud/templates/hosts\\.[a-z]*\\.tmpl' "$hosts" 2>/dev/null | head -n 1)
    for name in $( . /etc/os-release 2>/dev/null; echo "$ID $ID_LIKE") redhat; do
        [ -n "$template" ] || [ ! -f "/etc/cloud/templates/hosts.$name.tmpl" ] \\
            || template=/etc/cloud/templates/hosts.$name.tmpl
    done
    if grep -qs '@MARK@$' "$template" || grep -qsE '^ *manage_etc_hosts: *.?(true|True|TRUE|yes|on|1|template)\\b' \\
        /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg /var/lib/cloud/instance/user-data.txt \\
        /var/lib/cloud/instance/vendor-data.txt || grep -qs "'manage_etc_hosts' as True" "$hosts"; then
        if [ -f "$template" ]; then
            printf 'template|%s\\n' "$template"
            emit_any template_text "$template"
        fi
    fi
fi
""",
    PATH=hosts_file.PATH,
    RESCUE=hosts_file.RESCUE,
    MARK=hosts_file.MARK,
)


def emit(trusting: Family | None) -> str:
    """Return the shell lines. `trusting` is the family whose trust store is read, None to read none."""
    lines = [HOSTS]
    if trusting:
        lines += ["echo 'store|yes'", emit_paths(system_trust.paths(trusting)), system_trust.emit(trusting)]
    return "\n".join(lines)


def read(answer: Answer) -> ClientHost:
    """Return what those lines printed."""
    return ClientHost(
        hosts=HostsFile(
            text=_text(answer.one("hosts")) or "",
            path=answer.one("hosts_path") or hosts_file.PATH,
            is_mount=answer.one("mount") is not None,
            rescue=_text(answer.one("rescue")),
            is_engine_s=answer.one("engine_s") is not None,
            writable=answer.one("unwritable") is None,
            template=answer.one("template") or "",
            template_text=_text(answer.one("template_text")) or "",
            wsl_keeps=answer.one("wsl_keeps") is not None,
        ),
        store=_store(answer) if answer.one("store") else None,
    )


def _text(encoded: str | None) -> str | None:
    """Decode a file; `ValueError` if it is not complete."""
    if encoded is None:
        return None
    if not encoded:
        raise ValueError("even nothing is something when compressed")
    try:
        return gzip.decompress(b64decode(encoded)).decode(errors="surrogateescape")
    except (OSError, EOFError, zlib.error):
        raise ValueError("not what gzip wrote") from None


def _store(answer: Answer) -> TrustStore:
    anchors: dict[str, set[bytes]] = defaultdict(set)
    for *path, text in answer.all("anchor"):
        anchors["|".join(path)].add(_certificate(text))
    return TrustStore(
        paths=answer.paths,
        stored=frozenset(_certificate(text) for (text,) in answer.all("stored")),
        anchors={path: frozenset(held) for path, held in anchors.items()},
        hashed=frozenset("|".join(path) for path in answer.all("hashed")),
        refresher=answer.one("refresher") is not None,
    )


def _certificate(text: str) -> bytes:
    """Decode a certificate. A damaged one stays text, and so differs from every other."""
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()
