"""Which backups stay."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.backup.generations import FORM, Backup, read_mark, removable, surplus

DAYS = [dt.datetime(2026, 3, 31, 3, 0, 0, tzinfo=dt.UTC) - dt.timedelta(days=number) for number in range(90)]


def names(*days: int) -> list[str]:
    return [DAYS[number].strftime(FORM) for number in days]


@pytest.mark.parametrize(
    ("present", "keep", "removed"),
    [
        ([], {"daily": 7}, []),
        (range(7), {"daily": 7}, []),
        (range(9), {"daily": 7}, [8, 7]),
        # 2026-03-31 is a Tuesday: the weeks end on the Sundays, 2 and 9 days before.
        (range(17), {"daily": 2, "weekly": 3}, [16, 15, 14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3]),
        (range(90), {"monthly": 2}, [*range(89, 31, -1), *range(30, 0, -1)]),
        # A pause does not take what is from before it.
        ([0, 40, 41, 80], {"daily": 3}, [80]),
        ([60], {"daily": 1}, []),
    ],
)
def test_what_is_removed(present: range | list[int], keep: dict[str, int], removed: list[int]) -> None:
    assert surplus(names(*present), keep) == names(*removed)


def test_of_one_day_the_last_stays() -> None:
    assert surplus(["2026-03-31-030000", "2026-03-31-040000"], {"daily": 7, "weekly": 4}) == [
        "2026-03-31-030000"
    ]


def test_a_mark_is_read_as_it_was_written() -> None:
    backup = Backup("2026-03-31-030000", "ab" * 16, 12, 345, has_state=True)
    assert read_mark(backup.text) == backup


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "2026-03-31-030000"}', '{"name": "mine", "storage": "a", '
                                  '"tags": 1, "bytes": 1, "has_state": true}'])  # fmt: skip
def test_what_is_no_backup(text: str) -> None:
    assert read_mark(text) is None


def test_the_last_backup_with_the_state_stays() -> None:
    made = [
        Backup(f"2026-03-0{day}-030000", "ab", 1, 1, has_state)
        for day, has_state in [(1, True), (2, True), (3, False), (4, False)]
    ]
    assert removable(made, {"daily": 1}) == ["2026-03-01-030000", "2026-03-03-030000"]
    assert removable(made[:3], {"daily": 3}) == []
    assert removable(made[2:], {"daily": 1}) == ["2026-03-03-030000"]
