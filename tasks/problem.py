"""What keeps something from being done, in the two parts that people are shown."""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - a finding for people, not a fault in the program
    """Base of everything a run stops at with one line.

    `problem` says what is wrong and where, `remedy` what to do, each in one line.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy
