"""Images for the page's tests: some for people to look at, many that share digests, and very many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from tasks.registry import web
from tasks.registry.desired import FOLDER
from tasks.room.shown import index
from tasks.room.uses import Use, in_use
from tests.gateway.gateway import Gateway
from tests.gateway.pushing import Client, Image, digest, image
from tests.gateway.stored import read
from tests.stored_folder import INDEX

STORED = "/var/lib/homelab-registry/docker/registry/v2"

SHOWN = f"{FOLDER}/{web.SHOWN}/{web.INDEX}"

PLATFORMS = {"amd64": None, "arm64": None, "arm": "v7"}


def push_some(gateway: Gateway) -> None:
    """Push images of one platform and of several."""
    client = Client(gateway)
    for repository, tags in {
        "apps/web": ("1.9", "1.10", "latest"),
        "apps/shop/cart": ("1",),
        "nextcloud": ("29",),
    }.items():
        for tag in tags:
            client.push(described(image(repository, tag, 40_000, 2_000)))
    listed = []
    for architecture, variant in PLATFORMS.items():
        made = described(image("base/debian", f"13-{architecture}", 30_000), architecture, variant)
        by_digest = replace(made, tag=digest(made.manifest))
        client.push(by_digest)
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        listed.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": by_digest.tag,
                       "size": len(made.manifest), "platform": platform})  # fmt: skip
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
    client.ask("PUT of an index", "PUT", "/v2/base/debian/manifests/13", 201, content, INDEX)
    client.close()


def tell_page(gateway: Gateway, uses: Sequence[Use]) -> None:
    """Write what the page shows of the images, as a run does that saw these uses."""
    stored = read(gateway)
    gateway.host.write(SHOWN, index(stored, in_use(stored, uses), uses_known=True))
    gateway.host.run(f"chown 60706:60706 {SHOWN}")


def described(made: Image, architecture: str = "amd64", variant: str | None = None) -> Image:
    """Return an image whose configuration has a history."""
    steps = [
        {"created_by": "/bin/sh -c #(nop) ADD file:0123 in / "},
        {"created_by": "RUN /bin/sh -c make # buildkit"},
    ]
    config = {"os": "linux", "architecture": architecture, "variant": variant, "created": "2026-01-02T03:04:05Z",
              "history": steps, "author": f"{made.repository}:{made.tag}"}  # fmt: skip
    return replace(made, blobs=(json.dumps(config).encode(), *made.blobs[1:]))


def push_twins(gateway: Gateway, repository: str, images: int, tags: int) -> dict[str, str]:
    """Push images that each have several tags; return the digest of each tag. All share a layer."""
    client, found = Client(gateway), {}
    base = image(repository, "base", 10_000).blobs[1]
    for number in range(images):
        made = image(repository, f"{number}", 500)
        made = replace(made, blobs=(*made.blobs, base))
        for twin in range(tags):
            tagged = replace(made, tag=f"v{number}-{'abcdefgh'[twin]}")
            client.push(tagged)
            found[tagged.tag] = digest(tagged.manifest)
    client.close()
    return found


def make_many(gateway: Gateway, repositories: int, tags: int) -> None:
    """Make repositories with tags on the registry host, as links to one."""
    client = Client(gateway)
    client.push(image("many/r0", "t0", 100))
    client.close()
    gateway.host.run(
        f"""
        cd {STORED}/repositories/many/r0/_manifests/tags
        for tag in $(seq {tags - 1}); do cp -a t0 "t$tag"; done
        cd {STORED}/repositories/many
        for name in $(seq {repositories - 1}); do ln -s r0 "r$name"; done
        """
    )
