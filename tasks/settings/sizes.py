"""Sizes in settings, such as "30GB" or "500 GiB": exact numbers of bytes, and the same unit when they are shown."""

from __future__ import annotations

import re
from decimal import Decimal

UNITS = {
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("MGTP", 2)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("MGTP", 2)},
}
"""Bytes of each unit: powers of 1000 (SI), and of 1024 with an `i` (IEC 80000-13)."""


def normalize(text: str) -> str:
    """Return a size without the space before its unit; `ValueError` if it is none, or less than a byte."""
    if not re.fullmatch(rf"[0-9]{{1,9}}(\.[0-9]{{1,3}})? ?({'|'.join(UNITS)})", text, re.ASCII):
        raise ValueError
    size = text.replace(" ", "")
    if size_in_bytes(size) < 1:
        raise ValueError
    return size


def unit_of(size: str) -> str:
    """Return the unit of a normalized size."""
    return size.lstrip("0123456789.")


def size_in_bytes(size: str) -> int:
    """Return a normalized size in bytes, exactly; a part of a byte is dropped."""
    unit = unit_of(size)
    return int(Decimal(size.removesuffix(unit)) * UNITS[unit])


def shown(size: str) -> str:
    """Return a normalized size as people read it: `30 GB`."""
    unit = unit_of(size)
    return f"{size.removesuffix(unit)} {unit}"


def in_unit(count: int, unit: str) -> str:
    """Return a number of bytes in a unit, with one decimal that is rounded down: 30.0 of 30 GB is never 29.99."""
    tenths = count * 10 // UNITS[unit]
    return f"{tenths // 10}.{tenths % 10}"


def rounded(count: int) -> str:
    """Return a number of bytes in three digits, in powers of 1,000 as disks are sold and `docker images` counts."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
