"""The fact and the graph on folders that hypothesis draws, against a slow reading that shares no code with them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.storage.faults import faults
from tasks.storage.graph import Graph
from tests.unit.storage.random_folders import RandomFolder, Step, steps
from tests.unit.storage.reading import read
from tests.unit.storage.slow_reading import SlowReading

ALIKE = settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=40,
    phases=[Phase.generate],  # to shrink takes minutes
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@ALIKE
@given(done=steps(), chosen=st.integers(0, 2**32))
def test_both_readings_agree(done: list[Step], chosen: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        drawn = RandomFolder(Path(folder))
        for step in done:
            drawn.do(step)
        compare(Path(folder), SlowReading(drawn.made.top), chosen)


def compare(folder: Path, slow: SlowReading, chosen: int) -> None:
    """Compare all that the fast reading says with the slow one; `chosen` selects the tags to delete."""
    stored = read(folder)
    graph = Graph(stored)
    tags = {(tag.repository, tag.name): tag for tag in stored.tags}
    assert (stored.exists, stored.problems) == (True, ())
    assert sorted(stored.repositories) == slow.repositories()
    assert sorted(tags) == sorted(slow.tags())
    assert {key: tag.digest for key, tag in tags.items()} == {key: slow.digest_of(key) for key in tags}
    for name, repository in stored.repositories.items():
        assert repository.manifests == slow.links(name, "_manifests/revisions")
        assert repository.layers == slow.links(name, "_layers")
        assert {digest for root, digest in graph.untagged if root == name} == slow.untagged(name)
    assert {digest: blob.size for digest, blob in stored.blobs.items()} == slow.blobs()
    assert stored.used == bytes_of(folder, "data*") + bytes_of(folder, "startedat") + bytes_of(folder, "0")

    assert {key: set(graph.needs(tag)) for key, tag in tags.items()} == {
        key: slow.kept(key[0], slow.roots(key)) for key in tags
    }
    assert graph.unreferenced == slow.unreferenced(tags)
    deleted = [key for number, key in enumerate(tags) if chosen >> number & 1]
    left = tags.keys() - deleted
    sizes = slow.blobs()
    freed = sum(sizes[digest] for digest in slow.unreferenced(left) - slow.unreferenced(tags))
    assert sum(graph.freed(tags[key] for key in deleted)) == freed
    for key, tag in tags.items():
        assert graph.size(tag) - graph.shared(tag) == sum(
            sizes[digest] for digest in slow.unreferenced(tags.keys() - {key}) - slow.unreferenced(tags)
        )
    assert {(tag.repository, tag.name) for tag in faults(stored)} == {
        key for key in tags if not slow.pulls(key)
    }


def bytes_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())
