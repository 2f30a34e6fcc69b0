"""Draw what users, their registry and a power failure do to a folder: pushes of every kind, deletes, damage."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from tests.stored_folder import MANIFEST, StoredFolder, digest

REPOSITORIES = ["app", "app/web", "app/web/api", "link/tags", "0ther.name-x"]
TAGS = ["latest", "v1", "_layers", "_manifests", "revisions", "link", f"sha256-{'ab' * 32}.sig"]
LAYERS = [bytes([65 + number]) * number for number in range(6)]
ELSEWHERE = "application/vnd.oci.image.layer.nondistributable.v1.tar"

Step = tuple[str, str, str, int, int]
"""What is done, in which repository, to which tag, and two numbers that choose among what is there."""


class RandomFolder:
    """A folder in which drawn steps are done. The registry makes one of repositories before all else."""

    def __init__(self, path: Path) -> None:
        self.made = StoredFolder(path)
        self.made.repository("").mkdir(parents=True)

    def do(self, step: Step) -> None:
        kind, name, tag, one, two = step
        STEPS[kind](self, name, tag, one, two)

    def image(self, name: str, tag: str, one: int, two: int) -> None:
        self.made.image(name, [LAYERS[one % 6], LAYERS[two % 6]], tag if one % 5 else None)

    def annotated(self, name: str, tag: str, one: int, two: int) -> None:
        """An image that names a digest in an annotation, over several lines."""
        known = [digest(b"elsewhere"), *self.manifests()]
        content = {"annotations": {"base.digest": known[one % len(known)]}, "config": {}, "layers": None}
        self.made.manifest(name, f"{json.dumps(content, indent=3)}\n".encode(), tag if two % 2 else None)

    def index(self, name: str, tag: str, one: int, two: int) -> None:
        children = [self.made.image(name, [LAYERS[number % 6]]) for number in (one, two)]
        self.made.index(name, children, tag if one % 4 else None)

    def attach(self, name: str, tag: str, one: int, two: int) -> None:
        """Attach something to a manifest of any repository, or to nothing that is there."""
        known = [*self.manifests(), digest(b"elsewhere")]
        subject = {"mediaType": MANIFEST, "digest": known[one % len(known)], "size": 1}
        self.made.image(name, [LAYERS[two % 6]], tag if two % 2 else None, subject=subject)

    def elsewhere(self, name: str, tag: str, one: int, two: int) -> None:
        """An image with a layer that clients get from elsewhere, and one that they do not."""
        urls = {"urls": ["https://example.com/layer"]} if two % 2 else {}
        layer = {"mediaType": ELSEWHERE, "digest": digest(b"not here"), "size": 8, **urls}
        self.made.manifest(name, {"schemaVersion": 2, "layers": [layer]}, tag)

    def by_sha512(self, name: str, tag: str, one: int, two: int) -> None:
        layer = self.made.layer(name, LAYERS[one % 6])
        alias = f"sha512:{hashlib.sha512(LAYERS[one % 6]).hexdigest()}"
        self.made.write(self.made.layer_link(name, alias), layer["digest"].encode())
        self.made.manifest(name, {"schemaVersion": 2, "layers": [{**layer, "digest": alias}]}, tag)

    def mount(self, name: str, tag: str, one: int, two: int) -> None:
        if blobs := sorted(self.made.top.glob("blobs/*/*/*/data")):
            found = f"sha256:{blobs[one % len(blobs)].parts[-2]}"
            self.made.write(self.made.layer_link(name, found), found.encode())

    def upload(self, name: str, tag: str, one: int, two: int) -> None:
        folder = self.made.repository(name) / f"_uploads/{one}"
        self.made.write(folder / "startedat", b"2026-11-29T00:00:00Z")
        if two % 2:
            self.made.write(folder / "data", b"x" * two)
            self.made.write(folder / "hashstates/sha256/0", b"state")

    def only_data(self, name: str, tag: str, one: int, two: int) -> None:
        self.made.blob(LAYERS[one % 6])
        self.made.write(self.made.top / f"blobs/sha256/ab/{'ab' * 32}/data.{two}.tmp", b"x" * two)

    def delete_tag(self, name: str, tag: str, one: int, two: int) -> None:
        shutil.rmtree(self.made.tag_folder(name, tag), ignore_errors=True)

    def delete_manifest(self, name: str, tag: str, one: int, two: int) -> None:
        """By digest: the links go, to it and of its tags, and the folder of the first stays."""
        if links := sorted(self.made.repository(name).glob("_manifests/revisions/*/*/link")):
            link = links[one % len(links)]
            for current in self.made.repository(name).glob("_manifests/tags/*/current/link"):
                if current.read_bytes() == link.read_bytes():
                    shutil.rmtree(current.parents[1])
            link.unlink()

    def empty_link(self, name: str, tag: str, one: int, two: int) -> None:
        if links := self.links():
            link = links[one % len(links)]
            self.made.write(link, b"\0" * 71 if two % 2 and "tags" in link.parts else b"")

    def lose_link(self, name: str, tag: str, one: int, two: int) -> None:
        if links := self.links():
            links[one % len(links)].unlink()

    def damage(self, name: str, tag: str, one: int, two: int) -> None:
        if blobs := sorted(self.made.top.glob("blobs/*/*/*/data")):
            blob = blobs[one % len(blobs)]
            wrong = (b"", blob.read_bytes()[:-1], b"\0" * blob.stat().st_size)[two % 3]
            blob.write_bytes(wrong)

    def lose(self, name: str, tag: str, one: int, two: int) -> None:
        if blobs := sorted(self.made.top.glob("blobs/*/*/*/data")):
            blobs[one % len(blobs)].unlink()

    def links(self) -> list[Path]:
        return [each for each in sorted(self.made.repository("").rglob("link")) if each.is_file()]

    def manifests(self) -> list[str]:
        return [
            f"sha256:{each.name}"
            for each in sorted(self.made.top.glob("repositories/**/_manifests/revisions/sha256/*"))
        ]


STEPS: dict[str, Callable[[RandomFolder, str, str, int, int], None]] = {
    name: method
    for name, method in vars(RandomFolder).items()
    if name not in {"do", "links", "manifests"} and not name.startswith("_")
}
PUSHES = ["image", "index", "attach", "annotated", "by_sha512", "elsewhere", "mount", "upload", "only_data"]


def steps() -> st.SearchStrategy[list[Step]]:
    """Return what is done to a folder: twice as many pushes as all else."""
    kinds = st.one_of(
        st.sampled_from(PUSHES), st.sampled_from(["image", "index"]), st.sampled_from(sorted(STEPS))
    )
    number = st.integers(0, 30)
    step = st.tuples(kinds, st.sampled_from(REPOSITORIES), st.sampled_from(TAGS), number, number)
    return st.lists(step, min_size=1, max_size=25)
