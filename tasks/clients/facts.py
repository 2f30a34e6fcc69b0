"""What every host that uses the registry has: `/etc/hosts`, and our certificates in the system's trust store.

A part of the facts of Docker hosts and of cluster nodes, so that each needs one round trip.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import defaultdict

from tasks.clients import hosts_file, system_trust
from tasks.clients.plan import ClientHost
from tasks.clients.system_trust import Family, TrustStore
from tasks.remote.fact_scripts import Answer, emit_paths, emit_texts


def emit(trusting: Family | None) -> str:
    """Return the shell lines. `trusting` is the family whose trust store is read, None to read none."""
    lines = [
        emit_texts([hosts_file.PATH, hosts_file.RESCUE]),
        f"if grep -q ' {hosts_file.PATH} ' /proc/self/mountinfo; then echo 'mount|yes'; fi",
    ]
    if trusting:
        lines += ["echo 'store|yes'", emit_paths(system_trust.paths(trusting)), system_trust.emit(trusting)]
    return "\n".join(lines)


def read(answer: Answer) -> ClientHost:
    """Return what those lines printed."""
    return ClientHost(
        hosts=answer.texts.get(hosts_file.PATH, ""),
        rescue=answer.texts.get(hosts_file.RESCUE),
        hosts_is_mount=answer.one("mount") is not None,
        store=_store(answer) if answer.one("store") else None,
    )


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
