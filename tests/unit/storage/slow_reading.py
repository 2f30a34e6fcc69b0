"""An independent reading of a registry's folder, as plain and slow as can be: what the fast one is compared with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

NAMED = re.compile(r"sha256:[0-9a-f]{64}\b|sha512:[0-9a-f]{128}\b")
TagName = tuple[str, str]


@dataclass
class SlowReading:
    """A folder `docker/registry/v2`."""

    top: Path

    def repositories(self) -> list[str]:
        tops = {
            each.parent for each in (self.top / "repositories").rglob("_*") if "_" not in each.parent.name[:1]
        }
        inside = re.compile("/_(manifests|layers|uploads)(/|$)")
        return sorted(
            str(each.relative_to(self.top / "repositories")) for each in tops if not inside.search(str(each))
        )

    def folder(self, repository: str) -> Path:
        return self.top / "repositories" / repository

    def tags(self) -> list[TagName]:
        return [
            (name, tag.name)
            for name in self.repositories()
            for tag in sorted((self.folder(name) / "_manifests/tags").glob("*"))
        ]

    def digest_of(self, tag: TagName) -> str | None:
        link = self.folder(tag[0]) / "_manifests/tags" / tag[1] / "current/link"
        return content(link) if link.exists() else None

    def roots(self, tag: TagName) -> set[str]:
        """Return the digest of a tag, or all that it had if that is not known."""
        if found := self.digest_of(tag):
            return {found}
        index = self.folder(tag[0]) / "_manifests/tags" / tag[1] / "index"
        return {f"{link.parts[-3]}:{link.parts[-2]}" for link in index.glob("*/*/link")}

    def links(self, repository: str, kind: str) -> dict[str, int]:
        """Return the links of a kind (`_layers` or `_manifests/revisions`), with their times."""
        found = (self.folder(repository) / kind).glob("*/*/link")
        return {f"{link.parts[-3]}:{link.parts[-2]}": int(link.stat().st_mtime) for link in found}

    def blobs(self) -> dict[str, int]:
        """Return the blobs, with their sizes."""
        found = (self.top / "blobs").glob("*/*/*/data")
        return {f"{data.parts[-4]}:{data.parts[-2]}": data.stat().st_size for data in found}

    def data(self, digest: str) -> Path:
        algorithm, value = digest.split(":")
        return self.top / "blobs" / algorithm / value[:2] / value / "data"

    def text(self, digest: str) -> str:
        return self.data(digest).read_text(errors="replace") if self.data(digest).exists() else ""

    @cached_property
    def named(self) -> dict[str, set[str]]:
        """What the text of every digest names that any repository has or had a manifest of; and what a link is to."""
        found: dict[str, set[str]] = {}
        for folder in self.top.glob("repositories/**/_manifests/revisions/*/*"):
            digest = f"{folder.parts[-2]}:{folder.parts[-1]}"
            found[digest] = set(NAMED.findall(self.text(digest)))
        for link in self.top.glob("repositories/**/_layers/*/*/link"):
            digest = f"{link.parts[-3]}:{link.parts[-2]}"
            found[digest] = found.get(digest, set()) | set(NAMED.findall(link.read_text()))
        return found

    def attached(self, repository: str) -> dict[str, str]:
        """Return the manifests of a repository that are attached to another, with that one."""
        texts = {
            digest: parsed(self.text(digest)) for digest in self.links(repository, "_manifests/revisions")
        }
        return {digest: text["subject"]["digest"] for digest, text in texts.items() if "subject" in text}

    def kept(self, repository: str, digests: Iterable[str]) -> set[str]:
        """Return what these manifests of a repository keep: repeat until nothing is added."""
        found, before, attached = set(digests), set[str](), self.attached(repository)
        while found != before:
            before = set(found)
            found |= set[str]().union(*(self.named.get(digest, set()) for digest in before))
            found |= {digest for digest, subject in attached.items() if subject in before}
        return found

    def kept_by(self, tags: Iterable[TagName]) -> set[str]:
        return set[str]().union(*(self.kept(tag[0], self.roots(tag)) for tag in tags))

    def unreferenced(self, tags: Iterable[TagName]) -> set[str]:
        """Return the blobs that none of these tags needs."""
        return set(self.blobs()) - self.kept_by(tags)

    def untagged(self, repository: str) -> set[str]:
        tagged = self.kept_by(tag for tag in self.tags() if tag[0] == repository)
        return set(self.links(repository, "_manifests/revisions")) - tagged

    def pulls(self, tag: TagName) -> bool:
        """Return whether a client gets all of a tag, asking as the registry answers."""
        digest = self.digest_of(tag)
        return digest is not None and self._pulls_manifest(tag[0], digest)

    def _pulls_manifest(self, repository: str, digest: str) -> bool:
        if not self._serves(repository, "_manifests/revisions", digest):
            return False
        text = self.data(digest).read_bytes()
        if f"sha256:{hashlib.sha256(text).hexdigest()}" != digest:
            return False
        manifest = parsed(text.decode())
        layers = [*(manifest.get("layers") or []), *([manifest["config"]] if manifest.get("config") else [])]
        return all(
            self._pulls_manifest(repository, each["digest"]) for each in manifest.get("manifests", [])
        ) and all(
            self._serves(repository, "_layers", each["digest"], each["size"])
            for each in layers
            if not (each.get("urls") and "nondistributable" in each["mediaType"])
        )

    def _serves(self, repository: str, kind: str, digest: str, size: int | None = None) -> bool:
        link = self.folder(repository) / kind / digest.replace(":", "/") / "link"
        target = content(link) if link.exists() else None
        if target is None or not self.data(target).exists():
            return False
        return size is None or self.data(target).stat().st_size == size


def content(link: Path) -> str | None:
    """Return the digest in a link, or None if it is not complete."""
    return link.read_text() if NAMED.fullmatch(link.read_text()) else None


def parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
