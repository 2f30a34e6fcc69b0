"""A TOML text that belongs to the user: read, quoted by its line, and one value set with every other byte kept."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from tasks.remote.steps import Conflict

UNREADABLE = (ValueError, RecursionError)
"""What tomllib raises: not only its own, but Python's on thousands of digits, and on lists within lists."""

_HEADER = re.compile(r"\s*\[\[?(?P<name>[^\]]+)\]\]?\s*(?:#.*)?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"""\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def read(text: str, path: str) -> dict[str, Any]:
    """Return what a text says; `Conflict` with the line where it is broken. `path` is the file that it speaks of."""
    try:
        return tomllib.loads(text)
    except UNREADABLE as error:
        found = re.search(r"at line (\d+)", str(error))
        if not found and not isinstance(error, tomllib.TOMLDecodeError):
            raise Conflict(
                f"{path} has a number or a nesting that no program can read", "correct it and run again"
            ) from None
        line = found[1] if found else text.count("\n") + 1
        # The rest of the message may hold a value.
        raise Conflict(f"{path} line {line} is no TOML", "correct it and run again") from None


def value_at(says: Any, *keys: str) -> Any:
    """Return what stands below `keys`, None where there is nothing, or no table on the way."""
    for key in keys:
        says = says.get(key) if isinstance(says, dict) else None
    return says


def values_at(says: Any, *keys: str) -> list[Any]:
    """Return the list that stands below `keys`, an empty one where there is none."""
    found = value_at(says, *keys)
    return found if isinstance(found, list) else []


def line_of(text: str, keys: Sequence[str]) -> int:
    """Return the first line that says something of what `keys` lead to, 1 where none does."""
    wanted = tuple(keys)
    return next((number for number, told in _lines(text) if told[: len(wanted)] == wanted), 1)


def put(text: str, keys: Sequence[str], value: str, path: str) -> str:
    """Return the text with `value` at the place that `keys` lead to, made at its end where there is none.

    Raises `Conflict` where that cannot be done without changing something else.
    """
    wanted = read(text, path)
    table = wanted
    try:
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1]] = value
    except (AttributeError, TypeError):
        line = line_of(text, keys[:1])
        raise Conflict(f"{path} line {line} holds no table", "correct it and run again") from None
    whole = text if text.endswith("\n") or not text else f"{text}\n"
    for change in (_append, _edit):
        try:
            changed = change(whole, keys, value)
            if tomllib.loads(changed) == wanted and _keeps(text, changed):
                return changed
        except (*UNREADABLE, TOMLKitError, LookupError, TypeError, AttributeError):
            continue
    raise Conflict(
        f"{path} line {line_of(text, keys[:-1])} is written in a way that this project cannot add to",
        f'set {keys[-1]} = "{value}" there yourself and run again',
    )


def _append(text: str, keys: Sequence[str], value: str) -> str:
    """Add the table with the value at the end; no TOML where there is such a table already."""
    gap = "\n" if text.strip() else ""
    header = ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys[:-1])
    return f"{text}{gap}[{header}]\n{keys[-1]} = {json.dumps(value)}\n"


def _edit(text: str, keys: Sequence[str], value: str) -> str:
    """Set the value in the table that is there, right below its header: tomlkit would add it behind the blank line
    before the next one."""
    table: Any = tomlkit.parse(text)
    document = table
    for key in keys[:-1]:
        table = table[key]
    header = next((number for number, told in _lines(text) if told == tuple(keys[:-1])), None)
    if keys[-1] in table or header is None or not _HEADER.fullmatch(text.splitlines()[header - 1]):
        table[keys[-1]] = value
        return tomlkit.dumps(document)
    lines = [*text.splitlines(keepends=True), ""]  # a header may be the last line
    indent = re.match(r"[ \t]*", lines[header] if _KEY.match(lines[header]) else "")
    lines.insert(header, f"{indent[0] if indent else ''}{keys[-1]} = {json.dumps(value)}\n")
    return "".join(lines)


def _keeps(before: str, after: str) -> bool:
    """Tell whether all lines but at most one are still there, in their order."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    return (
        sum(end - begin for kind, begin, end, *_ in matcher.get_opcodes() if kind in {"replace", "delete"})
        <= 1
    )


def _lines(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the number of each line that is a header or begins with a key, and the whole key."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header["name"])
            yield number, table
        elif key := _KEY.match(line):
            yield number, table + _parts(key["name"])


def _parts(name: str) -> tuple[str, ...]:
    try:
        found: Any = tomllib.loads(f"{name} = 0")
    except UNREADABLE:
        return ()
    parts = []
    while isinstance(found, dict):
        (part, found), *_ = found.items()
        parts.append(part)
    return tuple(parts)
