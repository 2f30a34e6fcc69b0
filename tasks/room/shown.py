"""What the web page shows of the images: how large each is, what it shares, when it was pushed and what uses it."""

from __future__ import annotations

import json
from typing import Any

from tasks.room.uses import InUse
from tasks.storage.graph import Graph
from tasks.storage.stored import Repository, Stored


def index(stored: Stored, used: InUse, *, uses_known: bool) -> str:
    """Return the file for the page; `uses_known` is whether it is known of each host what it uses.

    It has the bytes of all images, whether it is known what uses them, and each repository. That has its `images`, each
    once: digest, bytes, of these the bytes that something else needs as well, and what uses it. Its `tags` give by name
    which of them and when it was pushed. A tag whose link is half-written is left out: what it is, is not known.
    """
    graph = Graph(stored)
    repositories = {name: _repository(graph, each, used) for name, each in stored.repositories.items()}
    content = {"used": stored.used, "uses_known": uses_known, "repositories": repositories}
    return json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n"


def _repository(graph: Graph, repository: Repository, used: InUse) -> dict[str, Any]:
    images: list[list[Any]] = []
    tags: dict[str, tuple[int, int]] = {}
    numbers: dict[tuple[str, tuple[str, ...]], int] = {}
    for name, tag in repository.tags.items():
        if tag.digest is None:
            continue
        users = used.users.get(tag, ())
        key = tag.digest, users
        if key not in numbers:
            numbers[key] = len(images)
            images.append([tag.digest, graph.size(tag), graph.shared(tag), list(users)])
        tags[name] = numbers[key], tag.pushed
    return {"images": images, "tags": tags}
