"""What a tag needs and shares, and what is free without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.storage.graph import Graph
from tasks.storage.stored import Tag
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.reading import read

SMALL, MIDDLE, LARGE = b"s" * 10_000, b"m" * 200_000, b"l" * 3_000_000


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    return StoredFolder(tmp_path)


def graph(folder: StoredFolder) -> Graph:
    return Graph(read(folder.path))


def tags(of: Graph) -> dict[str, Tag]:
    return {f"{tag.repository}:{tag.name}": tag for tag in of.stored.tags}


def in_units(sizes: list[int]) -> list[int]:
    """Return sizes as multiples of the smallest layer's, which configurations and manifests do not reach."""
    return [size // 10_000 for size in sizes]


def test_what_is_shared_is_free_with_the_last_that_needs_it(folder: StoredFolder) -> None:
    folder.image("app", [SMALL, MIDDLE], "v1")
    folder.image("app", [MIDDLE, LARGE], "v2")
    folder.image("other", [LARGE], "v1")
    found = graph(folder)
    one, two, other = (tags(found)[name] for name in ("app:v1", "app:v2", "other:v1"))
    assert in_units([found.size(each) for each in (one, two, other)]) == [21, 320, 300]
    assert in_units([found.shared(each) for each in (one, two, other)]) == [20, 320, 300]
    assert in_units(found.freed([one])) == [1]
    assert in_units(found.freed([two])) == [0]
    assert in_units(found.freed([one, two])) == [1, 20]
    assert in_units(found.freed([two, one])) == [0, 21]
    assert sum(found.freed([other, two, one])) == found.stored.used


def test_a_tag_has_nothing_of_its_own_beside_a_twin(folder: StoredFolder) -> None:
    image = folder.image("app", [LARGE], "v1")
    text = folder.data(image["digest"]).read_bytes()
    folder.manifest("app", text, "latest")
    found = graph(folder)
    twins = [tags(found)["app:v1"], tags(found)["app:latest"]]
    assert [found.freed([each]) for each in twins] == [[0], [0]]
    assert in_units(found.freed(twins)) == [0, 300]
    assert twins[0].pushed < twins[1].pushed


def test_an_index_needs_its_children(folder: StoredFolder) -> None:
    children = [folder.image("app", [layer]) for layer in (SMALL, MIDDLE)]
    folder.index("app", children, "v1")
    found = graph(folder)
    assert (found.unreferenced, found.untagged) == (frozenset(), {})
    assert in_units([found.size(tags(found)["app:v1"])]) == [21]


def test_an_older_index_is_not_kept_by_a_child_that_is_still_tagged(folder: StoredFolder) -> None:
    same, old, new = (folder.image("app", [layer]) for layer in (SMALL, MIDDLE, LARGE))
    before = folder.index("app", [same, old], "latest")
    folder.index("app", [same, new], "latest")
    found = graph(folder)
    moved = tags(found)["app:latest"].pushed
    pushed = found.stored.repositories["app"].manifests
    assert found.untagged == {("app", before["digest"]): moved, ("app", old["digest"]): pushed[old["digest"]]}
    assert digest(MIDDLE) in found.unreferenced
    assert not {digest(SMALL), digest(LARGE)} & found.unreferenced


def test_what_is_attached_is_kept_with_its_subject_and_the_subject_with_it(folder: StoredFolder) -> None:
    subject = folder.image("app", [SMALL], "v1")
    signature = folder.image("app", [MIDDLE], subject=subject)
    folder.image("app", [LARGE], subject=signature)
    found = graph(folder)
    assert (found.unreferenced, found.untagged) == (frozenset(), {})
    assert in_units(found.freed([tags(found)["app:v1"]])) == [321]

    folder.manifest("app", folder.data(signature["digest"]).read_bytes(), f"sha256-{subject['digest'][7:]}")
    found = graph(folder)
    assert in_units(found.freed([tags(found)["app:v1"]])) == [0]
    (attached,) = [tag for tag in found.stored.tags if tag.attached_to]
    assert attached.attached_to == subject["digest"]


def test_what_is_attached_in_another_repository_is_not_kept(folder: StoredFolder) -> None:
    subject = folder.image("app", [SMALL], "v1")
    attached = folder.image("other", [MIDDLE], subject=subject)
    found = graph(folder)
    assert found.untagged.keys() == {("other", attached["digest"])}
    assert digest(MIDDLE) in found.unreferenced


def test_a_manifest_that_is_kept_keeps_what_it_needs(folder: StoredFolder) -> None:
    folder.image("app", [SMALL], "v1")
    untagged = folder.image("app", [SMALL, LARGE])
    stored = read(folder.path)
    assert digest(LARGE) in Graph(stored).unreferenced
    kept = Graph(stored, frozenset({("app", untagged["digest"])}))
    assert kept.unreferenced == set()
    assert in_units(kept.freed(stored.tags)) == [0]
    assert kept.untagged == Graph(stored).untagged


def test_untagged_since_the_last_tag_moved_and_not_since_it_was_pushed(folder: StoredFolder) -> None:
    digests = []
    for tag, layer in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", b"4"), ("a", b"5")):
        folder.now += 1000
        content = folder.image("app", [layer])
        text = folder.data(content["digest"]).read_bytes()
        for each in (tag, "0") if layer == b"1" else (tag,):
            folder.manifest("app", text, each)
        digests.append((content["digest"], folder.now))
    folder.now += 1000
    folder.manifest("app", folder.data(digests[2][0]).read_bytes(), "0")
    moved = folder.now
    by_digest = folder.image("app", [b"6"])["digest"]
    found = graph(folder).untagged
    ends = {digest: found["app", digest] for digest, _ in digests if ("app", digest) in found}
    assert ends == {digests[0][0]: moved, digests[1][0]: digests[3][1]}
    assert found["app", by_digest] == folder.now


def test_a_blob_is_as_young_as_its_newest_link(folder: StoredFolder) -> None:
    layer = folder.layer("app", LARGE)
    folder.layer("other", LARGE)
    again = folder.now
    stored = read(folder.path)
    assert stored.blobs[layer["digest"]].written < again
    assert Graph(stored).linked == {layer["digest"]: again}
    assert Graph(stored).unreferenced == {layer["digest"]}

    folder.write(folder.layer_link("other", f"sha512:{'a' * 128}"), layer["digest"].encode())
    assert graph(folder).linked == {layer["digest"]: folder.now}


def test_tags_that_are_being_written_keep_all_they_may_be(folder: StoredFolder) -> None:
    folder.image("app", [SMALL], "v1")
    folder.image("app", [LARGE], "v1")
    (folder.tag_folder("app", "v1") / "current/link").write_bytes(b"")
    assert graph(folder).unreferenced == set()


def test_a_missing_manifest_is_still_tagged(folder: StoredFolder) -> None:
    """Its link stays: a backup may have the data."""
    image = folder.image("app", [SMALL], "v1")
    folder.data(image["digest"]).unlink()
    found = graph(folder)
    assert (found.untagged, found.stored.tags[0].digest) == ({}, image["digest"])


def test_a_chain_of_many_manifests(folder: StoredFolder) -> None:
    made = folder.image("app", [SMALL])
    for number in range(1200):
        made = folder.index("app", [made], "v1" if number == 1199 else None)
    found = graph(folder)
    assert (len(found.needs(found.stored.tags[0])), found.unreferenced) == (1203, frozenset())
