"""Sizes are exact, and shown in the unit that they were given in."""

from __future__ import annotations

import pytest

from tasks.settings import sizes
from tasks.settings.load import Settings


@pytest.mark.parametrize(
    ("size", "count", "shown"),
    [
        ("30GB", 30_000_000_000, "30 GB"),
        ("500GiB", 536_870_912_000, "500 GiB"),
        ("0.1TB", 100_000_000_000, "0.1 TB"),
        ("1.005MiB", 1_053_818, "1.005 MiB"),
        ("999999999PiB", 999_999_999 * 2**50, "999999999 PiB"),
        ("0.001MB", 1000, "0.001 MB"),
    ],
)
def test_a_size_is_exact(size: str, count: int, shown: str) -> None:
    assert (sizes.size_in_bytes(size), sizes.shown(size)) == (count, shown)
    assert Settings(registry_storage_limit=size).storage_limit == count


@pytest.mark.parametrize(
    ("count", "unit", "shown"),
    [
        (30_000_000_000, "GB", "30.0"),
        (29_999_999_999, "GB", "29.9"),
        (30_000_000_000, "GiB", "27.9"),
        (0, "MB", "0.0"),
        (99_999, "MB", "0.0"),
    ],
)
def test_what_is_used_is_rounded_down(count: int, unit: str, shown: str) -> None:
    assert sizes.in_unit(count, unit) == shown


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_999, "1 MB"), (212_400_000, "212 MB"),
     (3_400_000_000, "3.4 GB"), (10**16, "1e+04 TB")],
)  # fmt: skip
def test_a_size_in_three_digits(number: int, text: str) -> None:
    assert sizes.rounded(number) == text


def test_no_limit_is_no_number() -> None:
    assert Settings().storage_limit is None
