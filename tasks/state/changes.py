"""The history of the passwords: which changes this state knows of, and so whether it is an older copy of another one.

The last change is in the first line of the registry's htpasswd too, and gets there with the passwords themselves. A
state that does not know the change on the registry host is a copy from before it: its passwords may be revoked ones.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

KEPT = 200
"""How many changes are kept. A registry host that missed more of them has not been served by this state for years."""


@dataclass(frozen=True)
class Change:
    """One change of the passwords: its number, when it was made (UTC, to the second), and what tells it from others.

    Two copies of a state may each make a change of the same number; their `identity` differs.
    """

    number: int
    at: dt.datetime
    identity: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        return f"{self.number} {self.at:%Y-%m-%dT%H:%M:%SZ} {self.identity}"

    @property
    def described(self) -> str:
        """The number and the time, for people."""
        return f"number {self.number}, of {self.at:%Y-%m-%d %H:%M} UTC"


def parse(line: str) -> Change:
    """Return the change that a line holds; `ValueError` if it holds none."""
    found = re.fullmatch(r"(\d{1,9}) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ([0-9a-f]{16})", line, re.ASCII)
    if not found:
        raise ValueError("a line is not of the form number, time, identity")
    return Change(int(found[1]), dt.datetime.fromisoformat(found[2]), found[3])


def add(changes: Sequence[Change], on_host: str, now: dt.datetime) -> tuple[Change, ...]:
    """Return the history with one change more, whose number is above all in it and that of the line `on_host`."""
    found = re.match(r"(\d{1,9}) ", on_host)
    number = max((each.number for each in changes), default=0)
    number = max(number, int(found[1]) if found else 0) + 1
    return (*changes, Change(number, now.replace(microsecond=0)))[-KEPT:]
