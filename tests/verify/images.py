"""Tiny images, each unique, so that no image of the user shares a digest with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import secrets
import tarfile
from dataclasses import dataclass
from typing import Any

from tasks.settings.load import Settings
from tests.verify.backend import Host
from tests.verify.client import MANIFEST, Client
from tests.verify.deployment import Login
from tests.verify.programs import ARCHITECTURES

CONFIG = "application/vnd.docker.container.image.v1+json"
TAG = "v1.0.0"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Image:
    """An image of one layer: the bytes that are pushed."""

    config: bytes
    layer: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The manifest's fields, as the contract shows them."""
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, self.config),
            "layers": [_descriptor(LAYER, self.layer)],
        }

    @property
    def manifest(self) -> bytes:
        """The manifest as it is pushed."""
        return json.dumps(self.fields, indent=2).encode()

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest(self.manifest)

    def push_blobs(self, client: Client, repository: str, login: Login) -> None:
        """Upload all but the manifest."""
        for content in (self.config, self.layer):
            client.push_blob(repository, content, digest(content), login)


def make(architecture: str = "amd64", program: bytes = b"") -> Image:
    """Make an image of one file: of a program, which it runs, and 64 random bytes."""
    content = program + secrets.token_bytes(64)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("homelab-verify")
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/homelab-verify"]} if program else {},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar.getvalue())]},
    }
    return Image(json.dumps(config).encode(), gzip.compress(tar.getvalue()))


def push(client: Client, settings: Settings, login: Login, repository: str, host: Host) -> str:
    """Push an image for a host's architecture, and return its reference."""
    machine = host.output("uname -m").strip()
    push_as(client, repository, TAG, login, make(ARCHITECTURES.get(machine, machine)))
    return f"{settings.endpoint}/{repository}:{TAG}"


def push_as(client: Client, repository: str, tag: str, login: Login, image: Image) -> None:
    """Push an image."""
    image.push_blobs(client, repository, login)
    answer = client.manifest("PUT", repository, tag, login, content=image.manifest)
    assert answer.status_code == 201, (
        f"{login.name} cannot push a manifest: the answer is {answer.status_code} ({answer.text.strip()[:200]}); "
        "see docker logs homelab-registry on the registry host"
    )


def digest(content: bytes) -> str:
    """Return the digest of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": digest(content)}
