"""`files/untagged.sh` lists what no tag leads to, in a folder as distribution makes it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "files/untagged.sh"


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

    def index(self, repository: str, *digests: str) -> str:
        return self.manifest(repository, manifests=[{"digest": f"sha256:{digest}"} for digest in digests])

    def tag(self, repository: str, tag: str, digest: str) -> None:
        self._link(repository, f"tags/{tag}/current", digest)
        self._link(repository, f"tags/{tag}/index/sha256/{digest}", digest)

    def being_written(self, repository: str, digest: str) -> None:
        self._link(repository, f"revisions/sha256/{digest}", "")

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

    def untagged(self) -> list[str]:
        done = subprocess.run(["sh", SCRIPT, self.folder], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return sorted(done.stdout.split())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_an_image_that_lost_its_tag_is_listed(store: Store) -> None:
    former = store.manifest("team/app", version=1)
    store.tag("team/app", "latest", former)
    assert store.untagged() == []
    store.tag("team/app", "latest", store.manifest("team/app", version=2))
    assert store.untagged() == [f"team/app@sha256:{former}"]


def test_images_of_a_tagged_index_are_kept_however_deep(store: Store) -> None:
    amd, arm = (store.manifest("app", platform=name) for name in ("amd64", "arm64"))
    inner = store.index("app", amd, arm)
    store.tag("app", "multi", store.index("app", inner))
    assert store.untagged() == []


def test_images_of_an_untagged_index_are_listed_with_it(store: Store) -> None:
    image = store.manifest("app", platform="amd64")
    index = store.index("app", image)
    assert store.untagged() == sorted(f"app@sha256:{digest}" for digest in (image, index))


def test_what_is_being_written_is_not_listed(store: Store) -> None:
    store.being_written("app", "9" * 64)
    assert store.untagged() == []


def test_an_empty_registry_has_none(store: Store) -> None:
    assert store.untagged() == []
