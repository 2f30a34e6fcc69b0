"""Which tags do not pull, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.storage.faults import faults
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.reading import read

LAYER = b"a layer"
LAYER_DIGEST = digest(LAYER)


def image(folder: StoredFolder) -> str:
    """Push an index of one image, and return the image's digest."""
    made = folder.image("app", [LAYER])
    folder.index("app", [made], "v1")
    return str(made["digest"])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder, image: None, []),
        (lambda folder, image: folder.data(image).unlink(), ["the manifest IMAGE is missing"]),
        (lambda folder, image: emptied(folder.data(image)), ["the manifest IMAGE is empty"]),
        (lambda folder, image: folder.data(image).write_bytes(b"\0" * 500), ["the manifest IMAGE is damaged"]),
        (lambda folder, image: folder.revision("app", image).unlink(), ["the manifest IMAGE is not in this repository"]),
        (lambda folder, image: emptied(folder.revision("app", image)), ["the manifest IMAGE has an empty or damaged link"]),
        (lambda folder, image: folder.data(LAYER_DIGEST).unlink(), ["the layer LAYER is missing"]),
        (lambda folder, image: emptied(folder.data(LAYER_DIGEST)), ["the layer LAYER has 0 bytes, not 7"]),
        (lambda folder, image: folder.layer_link("app", LAYER_DIGEST).unlink(), ["the layer LAYER is not in this repository"]),
        (lambda folder, image: emptied(folder.layer_link("app", LAYER_DIGEST)), ["the layer LAYER has an empty or damaged link"]),
        (lambda folder, image: emptied(folder.tag_folder("app", "v1") / "current/link"), ["its link is empty or damaged"]),
        (lambda folder, image: (folder.tag_folder("app", "v1") / "current/link").unlink(), ["its link is empty or damaged"]),
    ],
)  # fmt: skip
def test_each_fault_is_named(
    harm: Callable[[StoredFolder, str], object], said: list[str], tmp_path: Path
) -> None:
    folder = StoredFolder(tmp_path)
    pushed = image(folder)
    folder.image("other", [b"whole"], "v1")
    harm(folder, pushed)
    found = {f"{tag.repository}:{tag.name}": wrong for tag, wrong in faults(read(tmp_path)).items()}
    texts = [each.replace("IMAGE", pushed).replace("LAYER", LAYER_DIGEST) for each in said]
    assert {name: [each.text for each in wrong] for name, wrong in found.items()} == (
        {"app:v1": texts} if texts else {}
    )


def test_a_layer_by_another_algorithm_is_found_where_its_data_is(tmp_path: Path) -> None:
    folder = StoredFolder(tmp_path)
    layer = folder.layer("app", LAYER)
    alias = f"sha512:{hashlib.sha512(LAYER).hexdigest()}"
    folder.write(folder.layer_link("app", alias), LAYER_DIGEST.encode())
    folder.manifest("app", {"layers": [{**layer, "digest": alias}]}, "v1")
    stored = read(tmp_path)
    assert (stored.aliases, faults(stored)) == ({alias: LAYER_DIGEST}, {})
    folder.data(LAYER_DIGEST).unlink()
    assert [each.text for each in faults(read(tmp_path))[stored.tags[0]]] == [f"the layer {alias} is missing"]


def test_what_a_tag_is_attached_to_need_not_be_there(tmp_path: Path) -> None:
    folder = StoredFolder(tmp_path)
    folder.image("app", [LAYER], "v1", subject={"digest": digest(b"gone"), "size": 4})
    assert faults(read(tmp_path)) == {}
