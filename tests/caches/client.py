"""A client that pulls through a cache as runtimes do: tag, manifests, blobs, each checked by its digest."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

from tests.caches.hub import Made

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
CHUNK = 1 << 18


class RefusedError(Exception):
    """An answer other than 200, after some `seconds`."""

    def __init__(self, path: str, answer: Answer) -> None:
        super().__init__(f"{path}: {answer.status} {answer.content.decode(errors='replace')}")
        self.status, self.body, self.seconds = answer.status, answer.content, answer.first


BROKEN = (OSError, HTTPException, RefusedError)
"""What a client gets that is not served; content that is not what it was announced as is none of it."""


class WrongDigestError(Exception):
    """Content that is not what its digest says, although the answer was complete."""


@dataclass(frozen=True)
class Answer:
    """An answer whose body was read: `first` is the seconds until its first byte; `content` is kept if it is short."""

    status: int
    headers: dict[str, str]
    first: float
    size: int
    digest: str
    content: bytes = field(repr=False)


@dataclass
class Pulled:
    """A pull of an image: seconds in all, the slowest first byte of its blobs, bytes, and the digest of its tag."""

    seconds: float
    first: float
    size: int
    digest: str


@dataclass(frozen=True)
class Cache:
    """Where a cache answers: over TLS with the name and CA, or without TLS if there is no CA.

    The registry that is meant is in `?ns=`, as containerd has it, or with `prefix` the first part of the image's name.
    """

    address: str
    port: int
    name: str
    ca: Path | None = None
    prefix: bool = False
    authorization: str = ""

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        made = HTTPConnection(self.name, self.port, timeout=120)
        plain = socket.create_connection((self.address, self.port), timeout=120)
        made.sock = plain
        if self.ca:
            made.sock = ssl.create_default_context(cafile=self.ca).wrap_socket(
                plain, server_hostname=self.name
            )
        try:
            yield made
        finally:
            made.close()

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send one request over a connection of its own."""
        with self.connection() as connection:
            return self.request(connection, path, method, **headers)

    def request(self, connection: HTTPConnection, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send one request and read its answer; `OSError` or `HTTPException` if it breaks off."""
        sent = {"Accept": ACCEPT, **headers}
        if self.authorization:
            sent["Authorization"] = self.authorization
        began = time.monotonic()
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        return _read(answer, began)

    def path(self, image: Made, rest: str) -> str:
        """Return the path of a manifest or blob of an image."""
        if self.prefix:
            return f"/v2/{image.name}/{rest}"
        return f"/v2/{image.repository}/{rest}?ns={image.upstream}"

    def pull(self, image: Made, reference: str = "") -> Pulled:
        """Pull an image by its tag, or by a reference of the same repository; `RefusedError`, `WrongDigestError`."""
        began = time.monotonic()
        with self.connection() as connection:

            def fetch(rest: str, digest: str = "") -> Answer:
                path = self.path(image, rest)
                answer = self.request(connection, path)
                if answer.status != 200:
                    raise RefusedError(path, answer)
                if digest and answer.digest != digest:
                    raise WrongDigestError(f"{path}: {answer.size} bytes of {answer.digest}")
                return answer

            top = fetch(f"manifests/{reference or image.tag}", reference if ":" in reference else "")
            if top.digest != top.headers["docker-content-digest"]:
                raise WrongDigestError(f"{image.reference}: {top.digest}, announced as {top.headers}")
            (platform,) = json.loads(top.content)["manifests"]
            manifest = fetch(f"manifests/{platform['digest']}", platform["digest"])
            fields = json.loads(manifest.content)
            blobs = [
                fetch(f"blobs/{each['digest']}", each["digest"])
                for each in (fields["config"], *fields["layers"])
            ]
        answers = [top, manifest, *blobs]
        return Pulled(
            time.monotonic() - began,
            max(each.first for each in answers),
            sum(each.size for each in answers),
            top.digest,
        )

    def pull_at_once(self, image: Made, clients: int) -> list[Pulled]:
        """Pull an image with several clients at once."""
        with ThreadPoolExecutor(clients) as pool:
            return [each.result() for each in [pool.submit(self.pull, image) for _ in range(clients)]]


def _read(answer: HTTPResponse, began: float) -> Answer:
    hashed, size, first, kept = hashlib.sha256(), 0, 0.0, b""
    while part := answer.read1(CHUNK):
        first = first or time.monotonic() - began
        hashed.update(part)
        size += len(part)
        if size < 1 << 20:
            kept += part
    if answer.length:  # read1 does not complain if the connection ended early
        raise ConnectionError(f"{answer.length} bytes are missing")
    answer.close()  # after its last byte read1 does not, and nothing more could be asked
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(
        answer.status, headers, first or time.monotonic() - began, size, f"sha256:{hashed.hexdigest()}", kept
    )
