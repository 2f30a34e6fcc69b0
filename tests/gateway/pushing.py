"""A small client that pushes images and records the registry's acknowledgments, and independent checks of them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from urllib.parse import quote, urlsplit

from tests.gateway.gateway import NAME, Gateway

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
STORED = "/docker/registry/v2"
"""The path of blobs and repositories in a storage folder."""
REPAIR = "deploys/repair.py"


def digest(data: bytes) -> str:
    """Return the digest of these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """An image: `blobs` are its configuration and its layers."""

    repository: str
    tag: str
    blobs: tuple[bytes, ...] = field(repr=False)

    @property
    def manifest(self) -> bytes:
        config, *layers = [{"digest": digest(blob), "size": len(blob)} for blob in self.blobs]
        content = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **config},
            "layers": [{"mediaType": LAYER, **layer} for layer in layers],
        }
        return json.dumps(content).encode()


def image(repository: str, tag: str, *sizes: int) -> Image:
    """Make an image with layers of these sizes, each of them unique."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "author": f"{repository}:{tag}"}).encode()
    layers = (
        hashlib.shake_256(f"{repository}:{tag}:{number}".encode()).digest(size)
        for number, size in enumerate(sizes)
    )
    return Image(repository, tag, (config, *layers))


class RefusedError(Exception):
    """An answer with which a push cannot continue."""

    def __init__(self, stage: str, status: int, body: bytes) -> None:
        super().__init__(f"{stage}: {status} {body.decode(errors='replace')}")
        self.stage, self.status, self.body = stage, status, body


@dataclass
class PushLog:
    """What the registry acknowledged to all clients together: (repository, digest) of each 201.

    `unanswered` are those whose upload, or one of several, failed: the registry may have been writing them just then.
    """

    blobs: set[tuple[str, str]] = field(default_factory=set)
    manifests: set[tuple[str, str]] = field(default_factory=set)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    chunks: int = 0
    under_way: int = 0
    unanswered: set[tuple[str, str]] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self.changed:
            yield
            self.changed.notify_all()

    @contextmanager
    def upload(self, repository: str, digest: str) -> Iterator[None]:
        """Count a blob or manifest as being uploaded while the block runs."""
        with self.writing():
            self.under_way += 1
        try:
            yield
        except Exception:
            self.unanswered.add((repository, digest))
            raise
        finally:
            with self.writing():
                self.under_way -= 1


class Connection(HTTPConnection):
    """A connection to the gateway, which is reopened if an earlier answer closed it."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(NAME)
        self.gateway = gateway

    def connect(self) -> None:
        self.sock = self.gateway.connect()


class Client:
    """A client with the login of the push role."""

    def __init__(self, gateway: Gateway, log: PushLog | None = None) -> None:
        self.log = log or PushLog()
        self.authorization = gateway.authorization("push")
        self.connection = Connection(gateway)

    def close(self) -> None:
        self.connection.close()

    def ask(
        self, stage: str, method: str, target: str, wanted: int, body: bytes = b"", kind: str = ""
    ) -> tuple[str, bytes]:
        """Send a request; return the answer's Location and body. `RefusedError` unless it has the wanted status."""
        headers = {"Authorization": self.authorization, "Accept": MANIFEST} | (
            {"Content-Type": kind} if kind else {}
        )
        self.connection.request(method, target, None if method in {"GET", "HEAD"} else body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != wanted:
            raise RefusedError(stage, answer.status, content)
        return answer.headers.get("Location", ""), content

    def blob(self, repository: str, data: bytes, chunks: int = 3) -> None:
        """Upload a blob in chunks."""
        with self.log.upload(repository, digest(data)):
            place = self.begin(repository)
            edges = [len(data) * number // chunks for number in range(chunks + 1)]
            for start, end in pairwise(edges):
                place = self.chunk(place, data[start:end])
            self.finish(repository, place, data)

    def begin(self, repository: str) -> str:
        place, _ = self.ask("POST of a blob", "POST", f"/v2/{repository}/blobs/uploads/", 202)
        return place

    def chunk(self, place: str, data: bytes) -> str:
        kind = "application/octet-stream"
        place, _ = self.ask("PATCH of a blob", "PATCH", path_and_query(place), 202, data, kind)
        with self.log.writing():
            self.log.chunks += 1
        return place

    def finish(self, repository: str, place: str, data: bytes) -> None:
        target = f"{path_and_query(place)}&digest={quote(digest(data))}"
        self.ask("PUT of a blob", "PUT", target, 201)
        with self.log.writing():
            self.log.blobs.add((repository, digest(data)))

    def manifest(self, image: Image) -> None:
        target = f"/v2/{image.repository}/manifests/{image.tag}"
        pushed = digest(image.manifest)
        with self.log.upload(image.repository, pushed):
            self.ask("PUT of a manifest", "PUT", target, 201, image.manifest, MANIFEST)
        with self.log.writing():
            self.log.manifests.add((image.repository, pushed))
            self.log.tags[image.repository, image.tag] = pushed

    def exists(self, target: str) -> bool:
        """Return whether a blob or manifest exists already, as clients ask before they push it."""
        try:
            self.ask(f"HEAD of {target}", "HEAD", target, 200)
        except RefusedError as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def push(self, image: Image) -> None:
        """Push an image as clients do: each missing blob, and then the manifest."""
        for blob in image.blobs:
            if not self.exists(f"/v2/{image.repository}/blobs/{digest(blob)}"):
                self.blob(image.repository, blob)
        self.exists(f"/v2/{image.repository}/manifests/{image.tag}")
        self.manifest(image)


def path_and_query(location: str) -> str:
    """Return a Location's path and query."""
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"


def push(gateway: Gateway, image: Image, log: PushLog | None = None) -> str:
    """Push an image over a new connection; return the error, or an empty text."""
    try:
        client = Client(gateway, log)
        try:
            client.push(image)
        finally:
            client.close()
    except (OSError, HTTPException, RefusedError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def missing_or_wrong(gateway: Gateway, log: PushLog) -> list[str]:
    """Return the acknowledged blobs, manifests and tags that are missing or have a different digest."""
    client = Client(gateway)
    wanted = [(f"/v2/{name}/blobs/{each}", each) for name, each in sorted(log.blobs)]
    wanted += [(f"/v2/{name}/manifests/{each}", each) for name, each in sorted(log.manifests)]
    wanted += [(f"/v2/{name}/manifests/{tag}", each) for (name, tag), each in sorted(log.tags.items())]
    found = []
    for target, each in wanted:
        try:
            _, body = client.ask("GET", "GET", target, 200)
        except RefusedError as refused:
            found.append(f"{target}: {refused}")
            continue
        if digest(body) != each:
            found.append(f"{target}: {len(body)} bytes of {digest(body)}, not {each}")
    client.close()
    return found


def mismatched_blobs(gateway: Gateway, storage: str) -> list[str]:
    """Return the stored blobs whose content does not match their name, by the host's sha256sum."""
    content = gateway.host.run(
        f"find {storage}{STORED}/blobs/sha256 -name data -exec sha256sum {{}} + 2>/dev/null", timeout=120
    )
    lines = [line.split() for line in content.stdout.splitlines()]
    return [path for sha, path in lines if path.split("/")[-2] != sha]


def repair_manifests(gateway: Gateway, storage: str) -> list[str]:
    """Repair the manifests that were left empty; return their digests, which nobody was told to be stored.

    2.8 makes a manifest's file first, and its content after; a full disk or a kill between the two leaves it empty, and
    2.8 then takes it for whole (distribution 2.8.2, registry/storage/driver/filesystem/driver.go, PutContent). A tag's
    file can be left empty too; only a push helps that, as the repair says.
    """
    empty = mismatched_blobs(gateway, storage)
    if not empty:
        return []
    assert gateway.version == "2.8", empty
    assert gateway.host.run(f"find {' '.join(empty)} -size +0").stdout == ""
    ran = gateway.deployment.run(deploy=REPAIR)
    assert ran.exit_code == 0 or "push them again: clients send what is missing" in ran.output, ran.output
    assert len([step for step in ran.steps if "move away: " in step]) == len(empty)
    assert mismatched_blobs(gateway, storage) == []
    return [f"sha256:{path.split('/')[-2]}" for path in empty]
