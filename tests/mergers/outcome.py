"""What a merger made of a text: the new one or a conflict, and that it kept what the old one had."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from tasks.remote.steps import Conflict

T = TypeVar("T")
NOTHING = re.compile(r"\{\s*\}|~|[Nn]ull|")


def outcome(merge: Callable[..., T], *arguments: object) -> T | Conflict:
    """Return what a merger returns or raises."""
    try:
        return merge(*arguments)
    except Conflict as conflict:
        return conflict


def only_added(before: str, after: str) -> bool:
    """Return whether `after` is `before` with one piece added, perhaps in the place of a value that says nothing."""
    return any(
        _inserted(before[: each.start()] + before[each.end() :], after) for each in NOTHING.finditer(before)
    )


def _inserted(before: str, after: str) -> bool:
    begin = common(before, after)
    return len(before) <= len(after) and after.endswith(before[begin:])


def common(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)
