"""What keeps something from being done, in the two parts that people are shown."""

from __future__ import annotations

from collections.abc import Sequence


class Problem(Exception):  # noqa: N818 - a finding for people, not a fault in the program
    """Base of everything a run stops at with one line.

    `problem` says what is wrong and where, `remedy` what to do, each in one line.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list, for a line that people read."""
    return ", ".join(names[:most]) + (" and more" if len(names) > most else "")
