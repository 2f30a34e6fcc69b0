"""Read a manifest: what it is made of, and every digest that it names."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from tasks.storage.stored import Manifest

DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})(?![0-9a-f])")
"""The digests that a registry stores (OCI image-spec, descriptor.md, "Registered Algorithms")."""

ELSEWHERE = re.compile(r"nondistributable|foreign")
"""In the media type of a layer with `urls`: the registry takes it without its data (distribution,
ocimanifesthandler.go and schema2manifesthandler.go)."""


def read_manifest(digest: str, text: bytes) -> Manifest:
    """Read the text that is stored under a digest. Nothing in it is taken to be well-formed."""
    decoded = text.decode(errors="replace")
    try:
        found = json.loads(decoded)
    except (ValueError, RecursionError):
        found = None
    content = found if isinstance(found, dict) else {}
    children = _sizes(content, "manifests")
    layers = {
        **_sizes({"config": [content.get("config")]}, "config"),
        **_sizes(content, "layers"),
        **_sizes(content, "fsLayers", "blobSum"),  # of schema 1, which 2.8 takes
    }
    (subject,) = _sizes({"subject": [content.get("subject")]}, "subject") or (None,)
    media_type = content.get("mediaType")
    return Manifest(
        whole=_has(digest, text),
        media_type=media_type if isinstance(media_type, str) else "",
        children=children,
        layers=layers,
        subject=subject,
        # JSON may spell a digest with escapes, which only its reader sees.
        names=frozenset(DIGEST.findall(decoded)).union(children, layers, (subject,) if subject else ()),
    )


def _has(digest: str, text: bytes) -> bool:
    algorithm, _, value = digest.partition(":")
    return hashlib.new(algorithm, text).hexdigest() == value


def _sizes(content: dict[str, Any], key: str, digest_key: str = "digest") -> dict[str, int | None]:
    """Return the digests of a list of descriptors, with the size of each."""
    found: dict[str, int | None] = {}
    descriptors = content.get(key)
    for descriptor in descriptors if isinstance(descriptors, list) else ():
        if not isinstance(descriptor, dict) or _is_elsewhere(descriptor):
            continue
        digest, size = descriptor.get(digest_key), descriptor.get("size")
        if isinstance(digest, str) and DIGEST.fullmatch(digest):
            found[digest] = size if isinstance(size, int) else None
    return found


def _is_elsewhere(descriptor: dict[str, Any]) -> bool:
    return bool(descriptor.get("urls")) and bool(ELSEWHERE.search(str(descriptor.get("mediaType"))))
