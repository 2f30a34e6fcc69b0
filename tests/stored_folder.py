"""Write a registry's folder as distribution does (registry/storage/paths.go), without a registry."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.storage.facts import IMAGES

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data: bytes) -> str:
    """Return the digest by SHA-256."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class StoredFolder:
    """The folder of a registry's images. `now` is when the next thing is written; each takes a second."""

    path: Path
    now: int = 1_700_000_000
    top: Path = field(init=False)

    def __post_init__(self) -> None:
        self.top = self.path / IMAGES

    def data(self, of: str) -> Path:
        """Return the path of a blob's data."""
        algorithm, value = of.split(":")
        return self.top / "blobs" / algorithm / value[:2] / value / "data"

    def repository(self, name: str) -> Path:
        return self.top / "repositories" / name

    def revision(self, name: str, of: str) -> Path:
        """Return the path of a repository's link to a manifest."""
        return self.repository(name) / "_manifests/revisions" / of.replace(":", "/") / "link"

    def layer_link(self, name: str, of: str) -> Path:
        return self.repository(name) / "_layers" / of.replace(":", "/") / "link"

    def tag_folder(self, name: str, tag: str) -> Path:
        return self.repository(name) / "_manifests/tags" / tag

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, with its time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.now += 1
        os.utime(path, (self.now, self.now))

    def blob(self, content: bytes) -> str:
        """Write a blob's data, unless it is there."""
        if not self.data(digest(content)).exists():
            self.write(self.data(digest(content)), content)
        return digest(content)

    def layer(self, name: str, content: bytes, media_type: str = LAYER) -> dict[str, Any]:
        """Upload a layer to a repository; return its descriptor."""
        found = self.blob(content)
        self.write(self.layer_link(name, found), found.encode())
        return {"mediaType": media_type, "digest": found, "size": len(content)}

    def manifest(
        self, name: str, content: Mapping[str, Any] | bytes, tag: str | None = None
    ) -> dict[str, Any]:
        """Push a manifest, and tag it; return its descriptor."""
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        found = self.blob(text)
        self.write(self.revision(name, found), found.encode())
        if tag:
            folder = self.tag_folder(name, tag)
            self.write(folder / "index" / found.replace(":", "/") / "link", found.encode())
            self.write(folder / "current/link", found.encode())
        return {"mediaType": MANIFEST, "digest": found, "size": len(text)}

    def image(
        self, name: str, layers: Sequence[bytes], tag: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Push an image whose configuration names it, with further fields in its manifest; return its descriptor."""
        config = self.layer(name, json.dumps([name, tag]).encode(), CONFIG)
        descriptors = [self.layer(name, each) for each in layers]
        content = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors}
        return self.manifest(name, {**content, **fields}, tag)

    def index(
        self, name: str, children: Sequence[Mapping[str, Any]], tag: str | None = None
    ) -> dict[str, Any]:
        """Push an index; return its descriptor."""
        content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(children)}
        return self.manifest(name, content, tag) | {"mediaType": INDEX}
