"""What a registry stores, asked of its API and of its own garbage collection: what the fact's answer is compared with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tasks.storage.facts import StorageFact
from tasks.storage.stored import Stored
from tests.gateway.gateway import Answer, Gateway
from tests.stored_folder import INDEX, MANIFEST

ACCEPT = {
    "Accept": f"{MANIFEST}, {INDEX}, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
}
FOLDER = "/var/lib/homelab-registry"


def read(gateway: Gateway) -> Stored:
    """Run the fact on the registry's host."""
    done = gateway.host.run(StorageFact().command(FOLDER))
    assert done.stderr == ""
    return StorageFact().process(done.stdout.splitlines())


def own_garbage(gateway: Gateway) -> set[str]:
    """Return the blobs that distribution's own garbage collection would remove: it keeps untagged manifests."""
    said = gateway.host.run(
        "docker exec homelab-registry registry garbage-collect --dry-run /etc/registry/config.yml"
    ).stdout
    return set(re.findall(r"blob eligible for deletion: (\S+)", said))


@dataclass
class Api:
    """The registry's API, as a client with the admin role sees it."""

    gateway: Gateway
    sizes: dict[tuple[str, str], int | None] = field(default_factory=dict)

    def ask(self, method: str, target: str, **headers: str) -> Answer:
        return self.gateway.request(method, f"/v2/{target}", self.gateway.authorization("admin"), headers)

    def repositories(self) -> list[str]:
        found: list[str] = json.loads(self.ask("GET", "_catalog?n=1000").body)["repositories"]
        return found

    def tags(self, repository: str) -> list[str]:
        answer = self.ask("GET", f"{repository}/tags/list")
        return sorted(json.loads(answer.body)["tags"] or []) if answer.status == 200 else []

    def digest(self, repository: str, tag: str) -> str | None:
        return self.ask("HEAD", f"{repository}/manifests/{tag}", **ACCEPT).header("docker-content-digest")

    def size(self, repository: str, tag: str) -> int | None:
        """Return the bytes of all that a client gets with a tag, None if it does not get something."""
        found: dict[str, int | None] = {}
        todo = [tag]
        while todo:
            reference = todo.pop()
            answer = self.ask("GET", f"{repository}/manifests/{reference}", **ACCEPT)
            if answer.status != 200:
                return None
            found[answer.header("docker-content-digest") or ""] = len(answer.body)
            content: dict[str, Any] = json.loads(answer.body)
            todo += [each["digest"] for each in content.get("manifests", [])]
            for each in [*content.get("layers", []), *([content["config"]] if "config" in content else [])]:
                found[each["digest"]] = self._blob(repository, each["digest"])
        sizes = list(found.values())
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _blob(self, repository: str, digest: str) -> int | None:
        if (repository, digest) not in self.sizes:
            answer = self.ask("HEAD", f"{repository}/blobs/{digest}")
            self.sizes[repository, digest] = (
                int(answer.header("content-length") or 0) if answer.status == 200 else None
            )
        return self.sizes[repository, digest]
