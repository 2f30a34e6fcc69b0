"""What a manifest says, of every kind that a registry takes; and texts that are none."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tasks.storage.manifests import read_manifest
from tests.stored_folder import INDEX, LAYER, MANIFEST, digest

ONE, TWO, THREE, FOUR = (f"sha256:{letter * 64}" for letter in "abcd")
LONG = f"sha512:{'e' * 128}"
DISTRIBUTED = {"mediaType": LAYER, "digest": TWO, "size": 5, "urls": ["https://example.com"]}
FOREIGN = {**DISTRIBUTED, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}


def text(**content: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **content}).encode()


def described(of: str, size: int = 3) -> dict[str, Any]:
    return {"mediaType": "x", "digest": of, "size": size}


@pytest.mark.parametrize(
    ("content", "children", "layers", "subject", "named"),
    [
        (text(config=described(ONE), layers=[described(TWO, 5)]), {}, {ONE: 3, TWO: 5}, None, {ONE, TWO}),
        (text(manifests=[described(ONE), described(TWO)]), {ONE: 3, TWO: 3}, {}, None, {ONE, TWO}),
        (text(config=described(ONE), subject=described(TWO)), {}, {ONE: 3}, TWO, {ONE, TWO}),
        (text(annotations={"base.digest": ONE}, layers=[described(LONG)]), {}, {LONG: 3}, None, {ONE, LONG}),
        (text(fsLayers=[{"blobSum": ONE}, {"blobSum": TWO}]), {}, {ONE: None, TWO: None}, None, {ONE, TWO}),
        (text(layers=[described(ONE), FOREIGN]), {}, {ONE: 3}, None, {ONE, TWO}),
        (text(layers=[DISTRIBUTED]), {}, {TWO: 5}, None, {TWO}),
        (text(layers=[{**FOREIGN, "urls": []}]), {}, {TWO: 5}, None, {TWO}),
        (text(layers=[described(ONE)]).replace(b"sha256:a", rb"sha256:\u0061"), {}, {ONE: 3}, None, {ONE}),
        (text(config=None, layers=None, manifests=None, subject=None), {}, {}, None, set()),
        (text(config=[], layers={}, manifests=ONE, subject=THREE), {}, {}, None, {ONE, THREE}),
        (text(layers=[7, {}, {"digest": 7}, {"digest": "sha256:../../x"}, described(ONE + "f")]), {}, {}, None, set()),
        (text(layers=[{"digest": ONE, "size": "large"}]), {}, {ONE: None}, None, {ONE}),
        (f'["{ONE}"]'.encode(), {}, {}, None, {ONE}),
        (f"cut off {ONE} \0\xff".encode("latin-1"), {}, {}, None, {ONE}),
        (b"[" * 100_000 + ONE.encode(), {}, {}, None, {ONE}),
        (b"", {}, {}, None, set()),
    ],
)  # fmt: skip
def test_what_it_is_made_of(
    content: bytes, children: dict[str, int], layers: dict[str, int], subject: str | None, named: set[str]
) -> None:
    found = read_manifest(digest(content), content)
    assert (found.children, found.layers, found.subject, set(found.names)) == (
        children,
        layers,
        subject,
        named,
    )


@pytest.mark.parametrize(("media_type", "read"), [(INDEX, INDEX), (MANIFEST, MANIFEST), (None, ""), (7, "")])
def test_its_media_type(media_type: object, read: str) -> None:
    assert read_manifest(ONE, text(mediaType=media_type)).media_type == read


def test_it_is_whole_if_its_text_has_its_digest() -> None:
    content = text(layers=[])
    assert read_manifest(digest(content), content).whole
    assert read_manifest(f"sha512:{hashlib.sha512(content).hexdigest()}", content).whole
    assert not read_manifest(digest(content), content + b" ").whole
    assert not read_manifest(digest(content), b"").whole
