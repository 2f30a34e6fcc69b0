"""Whether a folder can take a backup, by what it said when one was begun."""

from __future__ import annotations

import pytest

from tasks.backup.space import Space, check_space, read_space
from tasks.remote.steps import Conflict

PRINTED = "system|ext2/ext3|yes|yes\nfree|1000000000\nthere|500000000\n"
SPACE = Space("ext2/ext3", True, True, 1_000_000_000, 500_000_000)


def test_what_was_printed_is_read() -> None:
    assert read_space(PRINTED) == SPACE
    assert read_space(PRINTED.replace("yes|yes", "no|no")) == Space(
        "ext2/ext3", False, False, 10**9, 5 * 10**8
    )


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", "the answer was cut short"),
        ("system|ext2/ext3|yes|yes\nfree|1\n", "the answer was cut short"),
        ("failed: mkdir: No space left on device\n", "mkdir: No space left on device"),
    ],
)
def test_a_backup_that_could_not_be_begun(printed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_space(printed)


@pytest.mark.parametrize(
    ("space", "used", "problem"),
    [
        (SPACE, 1_500_000_000, None),
        (SPACE, 1_500_000_001, "/b has 1.00 GB free, and this backup needs 1.00 GB more"),
        (SPACE, 0, None),
        (
            Space("exfat", False, False, 10**12, 0),
            1,
            r"/b is on a file system that keeps no owners \(exfat\)",
        ),
        (Space("nfs", False, True, 10**12, 0), 1, None),
    ],
)
def test_what_a_folder_can_take(space: Space, used: int, problem: str | None) -> None:
    if problem is None:
        check_space("/b", space, used)
        return
    with pytest.raises(Conflict, match=problem):
        check_space("/b", space, used)
