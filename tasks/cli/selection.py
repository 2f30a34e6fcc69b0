"""Which hosts `--limit` and `--exclude` name. pyinfra only warns of a pattern that names none, and exits with 0."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatch

from pyinfra.api.inventory import Inventory

from tasks.problem import some_of
from tasks.settings.redact import printable


def problems(inventory: Inventory, limit: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """Return what is wrong with the patterns of both options: those that name no host, or no host being left."""
    found = [
        _unmatched(inventory, option, pattern)
        for option, patterns in (("--limit", limit), ("--exclude", exclude))
        for pattern in patterns
        if not _matches(inventory, pattern)
    ]
    if found:
        return found
    limited = {name for pattern in limit for name in _matches(inventory, pattern)}
    left = (limited or set(_names(inventory))) - {
        name for pattern in exclude for name in _matches(inventory, pattern)
    }
    return [] if left else ["--exclude leaves no host; leave out one of them"]


def _matches(inventory: Inventory, pattern: str) -> list[str]:
    """Return the names of the hosts that pyinfra takes a pattern for (pyinfra_cli/cli.py)."""
    if pattern in inventory.groups:
        return [host.name for host in inventory.groups[pattern]]
    return [name for name in _names(inventory) if fnmatch(name, pattern)]


def _names(inventory: Inventory) -> list[str]:
    return [host.name for host in inventory]


def _unmatched(inventory: Inventory, option: str, pattern: str) -> str:
    names, parts = _names(inventory), pattern.split(",")
    groups = [name for name, hosts in inventory.groups.items() if hosts and not name.startswith("@")]
    there_are = f"there are {some_of(names, 10)}, and the groups {some_of(groups, 10)}"
    if len(parts) > 1 and all(_matches(inventory, part) for part in parts):
        there_are = f"give it once for each: {' '.join(f'{option} {part}' for part in parts)}"
    elif near := difflib.get_close_matches(pattern, [*names, *groups], 1):
        there_are = f"did you mean {near[0]}? {there_are[0].upper()}{there_are[1:]}"
    return printable(
        f"{option} {pattern or chr(39) * 2}: no host or group of the inventory has that name; {there_are}"
    )
