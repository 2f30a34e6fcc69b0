"""When an image may be out of date: never said of one that is known not to be."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.registry.image_age import Built, Debian, warning

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
SAME = {"libc6": "2.36-9", "nginx": "1:1.22.1-9"}
SECURED = SAME | {"nginx": "1:1.22.1-9+deb12u1"}


def ago(days: int) -> dt.datetime:
    return NOW - dt.timedelta(days=days)


@pytest.mark.parametrize(
    ("built", "candidates", "asked", "reason"),
    [
        (0, SAME, 0, None),
        (0, {}, None, None),
        (30, {}, None, None),
        (300, SAME, 30, None),
        (30, SAME, 300, None),
        (300, {"other": "1"}, 3, None),
        (1, SECURED, 0, "it was built on 2026-11-27, and there is now nginx 1:1.22.1-9+deb12u1"),
        (400, SECURED, 90, "it was built on 2025-10-24, and there is now nginx 1:1.22.1-9+deb12u1"),
        (40, SAME, 35, "it was built on 2026-10-19, and this host has looked for newer packages last on 2026-10-24"),
        (40, {}, None, "it was built on 2026-10-19, and this host has looked for newer packages last on 2026-10-19"),
    ],
)  # fmt: skip
def test_an_image_is_told_to_be_old(
    built: int, candidates: dict[str, str], asked: int | None, reason: str | None
) -> None:
    debian = Debian(candidates, None if asked is None else ago(asked))
    said = warning(Built(ago(built), SAME), debian, NOW)
    assert (said or "").removesuffix(" (apt-get update)") == (reason or "")
