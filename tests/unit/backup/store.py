"""A small registry's folder to take snapshots of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class Store:
    """A registry's folder, as distribution 2.8 and 3.x lay it out (registry/storage/paths.go)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.v2 = folder / "docker/registry/v2"
        (self.v2 / "repositories").mkdir(parents=True, exist_ok=True)

    def manifest(self, repository: str, **content: object) -> str:
        text = json.dumps(content).encode()
        digest = hashlib.sha256(text).hexdigest()
        data = self.v2 / "blobs/sha256" / digest[:2] / digest / "data"
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_bytes(text)
        self._link(repository, f"revisions/sha256/{digest}", digest)
        return digest

    def tag(self, repository: str, tag: str, digest: str) -> None:
        self._link(repository, f"tags/{tag}/current", digest)
        self._link(repository, f"tags/{tag}/index/sha256/{digest}", digest)

    def _link(self, repository: str, place: str, digest: str) -> None:
        link = self.v2 / "repositories" / repository / "_manifests" / place / "link"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.write_text(digest and f"sha256:{digest}")

    def broken(self) -> list[str]:
        """Return the tags whose manifest has no link or no data."""
        links = sorted(self.v2.glob("repositories/**/_manifests/tags/*/current/link"))
        return [str(link) for link in links if not self._leads_to_data(link)]

    def _leads_to_data(self, link: Path) -> bool:
        digest = link.read_text().removeprefix("sha256:")
        revision = link.parents[3] / "revisions/sha256" / digest / "link"
        data = self.v2 / "blobs/sha256" / digest[:2] / digest / "data"
        return revision.exists() and data.exists()
