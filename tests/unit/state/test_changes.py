"""The history of the passwords."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.state import changes
from tasks.state.changes import Change

NOW = dt.datetime(2026, 3, 1, 12, 30, 45, 678, tzinfo=dt.UTC)


def test_a_change_is_read_as_it_was_written() -> None:
    (made,) = changes.add((), "", NOW)
    assert str(made).startswith("1 2026-03-01T12:30:45Z ")
    assert changes.parse(str(made)) == made
    assert made.described == "number 1, of 2026-03-01 12:30 UTC"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1",
        "x 2026-03-01T12:30:45Z 0123456789abcdef",
        "1 2026-03-01T12:30:45Z 0123",
        "1 2026-13-01T12:30:45Z 0123456789abcdef",
    ],
)
def test_another_line_is_no_change(line: str) -> None:
    with pytest.raises(ValueError, match=r"line|month"):
        changes.parse(line)


def test_two_copies_that_each_make_a_change_differ() -> None:
    base = changes.add((), "", NOW)
    one, other = changes.add(base, "", NOW), changes.add(base, "", NOW)
    assert one[-1].number == other[-1].number == 2
    assert one[-1] not in other


def test_a_new_change_has_the_highest_number_that_is_known() -> None:
    base = changes.add((), "", NOW)
    assert changes.add(base, "17 2026-03-01T12:30:45Z 0123456789abcdef", NOW)[-1].number == 18
    assert changes.add(base, "anything else", NOW)[-1].number == 2


def test_the_history_is_bounded() -> None:
    found: tuple[Change, ...] = ()
    for _ in range(changes.KEPT + 10):
        found = changes.add(found, "", NOW)
    assert [found[0].number, found[-1].number, len(found)] == [11, changes.KEPT + 10, changes.KEPT]
