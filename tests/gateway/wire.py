"""Requests as bytes, many over few connections: to the gateway, and directly to the registry."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.gateway import SOCKET, Answer, Gateway, exchange, request_bytes

STORED = "/var/lib/homelab-registry/docker/registry/v2"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCRIPT = Path(__file__).with_name("direct_registry.py")


class Connection:
    """A connection that is reused until the server closes it."""

    def __init__(self, connect: Callable[[], ssl.SSLSocket]) -> None:
        self._connect = connect
        self._open: ssl.SSLSocket | None = None

    def ask(self, sent: bytes) -> Answer:
        """Send exactly these bytes and read one answer."""
        if self._open is None:
            self._open = self._connect()
        answer, ends = exchange(self._open, sent)
        if ends:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None


def ask_all(gateway: Gateway, requests: Sequence[bytes], lines: int = 6) -> list[Answer]:
    """Send all requests over `lines` connections, and return the answers in the same order."""
    own = threading.local()
    opened: list[Connection] = []

    def ask(sent: bytes) -> Answer:
        if not hasattr(own, "line"):
            own.line = Connection(gateway.connect)
            opened.append(own.line)
        answer: Answer = own.line.ask(sent)
        return answer

    try:
        with ThreadPoolExecutor(lines) as pool:
            return list(pool.map(ask, requests))
    finally:
        for line in opened:
            line.close()


def ask_registry(gateway: Gateway, requests: Sequence[bytes]) -> list[Answer]:
    """Send requests directly to the registry, through its socket on the host, and return its answers."""
    given = json.dumps([SOCKET, [b64encode(each).decode() for each in requests]])
    gateway.host.write("/tmp/direct_registry.py", SCRIPT.read_text())
    came = json.loads(gateway.host.run("python3 /tmp/direct_registry.py", stdin=given).stdout)
    return [Answer(status, headers, b64decode(body)) for status, headers, body in came]


@dataclass(frozen=True)
class StoredDigests:
    """The digests of a small image's manifest and of its one blob, the same in every repository."""

    manifest: str
    blob: str


def store(gateway: Gateway, repository: str, tag: str = "v1") -> StoredDigests:
    """Push a small image as admin; its one blob serves as configuration and as layer."""
    blob = b"a small layer\n" * 64
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    part = {"mediaType": "application/octet-stream", "size": len(blob), "digest": digest}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": [part]}
    content = json.dumps(manifest).encode()
    admin, line = gateway.authorization("admin"), Connection(gateway.connect)
    begun = line.ask(request_bytes("POST", f"/v2/{repository}/blobs/uploads/", admin))
    assert begun.status == 202, begun
    to = f"{begun.header('Location')}&digest={digest}"
    assert line.ask(request_bytes("PUT", to, admin, body=blob)).status == 201
    target = f"/v2/{repository}/manifests/{tag}"
    assert line.ask(request_bytes("PUT", target, admin, {"Content-Type": MANIFEST}, content)).status == 201
    line.close()
    return StoredDigests(f"sha256:{hashlib.sha256(content).hexdigest()}", digest)


def all_stored(gateway: Gateway) -> str:
    """Return every file in the registry's storage with its SHA-256, except for unfinished uploads."""
    listed = gateway.host.run(
        f"find {STORED} -type f -not -path '*/_uploads/*' -print0 | sort -z | xargs -0 -r sha256sum"
    ).stdout
    assert listed, "nothing is stored"
    return listed
