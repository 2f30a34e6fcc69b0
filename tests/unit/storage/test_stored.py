"""What a reading says by itself."""

from __future__ import annotations

import pytest

from tasks.storage.stored import Blob, Stored, Tag, Upload

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        (f"sha256-{HEX}", f"sha256:{HEX}"),
        (f"sha256-{HEX}.sig", f"sha256:{HEX}"),
        (f"sha256-{HEX}.att", f"sha256:{HEX}"),
        (f"sha256-{HEX}0", None),
        (f"sha256-{HEX[1:]}", None),
        (f"v1-sha256-{HEX}", None),
        (f"sha256-{HEX}.", None),
        ("sha256-abc", None),
        ("latest", None),
    ],
)
def test_a_tag_that_is_attached_to_something(name: str, subject: str | None) -> None:
    assert Tag("app", name, None, 0).attached_to == subject


def test_sizes_count_each_blob_once_and_what_is_not_there_not() -> None:
    stored = Stored(
        read_at=100,
        blobs={"a": Blob(1, 10), "b": Blob(20, 20), "c": Blob(300, 30)},
        uploads=(Upload("app", "1", 4_000, 40),),
        leftovers={"blobs/x": Blob(50_000, 50)},
    )
    assert stored.used == 54_321
    assert stored.size(["a", "b", "b", "d"]) == 21
    assert [stored.added(since) for since in (0, 20, 31)] == [321, 320, 0]
