"""A TOML file that belongs to the user: read it, find a key's line, and set one value without changing another byte."""

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
"""What tomllib raises: its own error, and Python's for numbers of thousands of digits and for deep nesting."""

_HEADER = re.compile(r"\s*\[\[?(?P<name>[^\]]+)\]\]?\s*(?:#.*)?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"""\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def read(text: str, path: str) -> dict[str, Any]:
    """Return what a text says; `Conflict` with the line if it is not TOML. `path` is the file that messages name."""
    try:
        return tomllib.loads(text)
    except UNREADABLE as error:
        found = re.search(r"at line (\d+)", str(error))
        if not found and not isinstance(error, tomllib.TOMLDecodeError):
            raise Conflict(
                f"{path} has a number that is too long, or is nested too deeply", "correct it and run again"
            ) from None
        line = found[1] if found else text.count("\n") + 1
        # The rest of the message may hold a value.
        raise Conflict(f"{path} line {line} is not TOML", "correct it and run again") from None


def value_at(says: Any, *keys: str) -> Any:
    """Return the value at the path `keys`, None if there is none."""
    for key in keys:
        says = says.get(key) if isinstance(says, dict) else None
    return says


def values_at(says: Any, *keys: str) -> list[Any]:
    """Return the list at the path `keys`, an empty one if there is none."""
    found = value_at(says, *keys)
    return found if isinstance(found, list) else []


def line_of(text: str, keys: Sequence[str]) -> int:
    """Return the number of the first line about the path `keys`, 1 if there is none."""
    wanted = tuple(keys)
    return next((number for number, path in _lines(text) if path[: len(wanted)] == wanted), 1)


def put(text: str, keys: Sequence[str], value: str, path: str) -> str:
    """Return the text with `value` at the path `keys`; a missing table is added at the end.

    Raises `Conflict` if that is not possible without changing something else.
    """
    wanted = read(text, path)
    table = wanted
    try:
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1]] = value
    except (AttributeError, TypeError):
        line = line_of(text, keys[:1])
        raise Conflict(f"{path} line {line} is not a table", "correct it and run again") from None
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
    """Add the table with the value at the end; the result is not TOML if there is such a table already."""
    gap = "\n" if text.strip() else ""
    header = ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys[:-1])
    return f"{text}{gap}[{header}]\n{keys[-1]} = {json.dumps(value)}\n"


def _edit(text: str, keys: Sequence[str], value: str) -> str:
    """Set the value in the existing table, right below its header: tomlkit would add it behind the blank line before
    the next table."""
    table: Any = tomlkit.parse(text)
    document = table
    for key in keys[:-1]:
        table = table[key]
    header = next((number for number, path in _lines(text) if path == tuple(keys[:-1])), None)
    if keys[-1] in table or header is None or not _HEADER.fullmatch(text.splitlines()[header - 1]):
        table[keys[-1]] = value
        return tomlkit.dumps(document)
    lines = [*text.splitlines(keepends=True), ""]  # a header may be the last line
    indent = re.match(r"[ \t]*", lines[header] if _KEY.match(lines[header]) else "")
    lines.insert(header, f"{indent[0] if indent else ''}{keys[-1]} = {json.dumps(value)}\n")
    return "".join(lines)


def _keeps(before: str, after: str) -> bool:
    """Return whether at most one line was changed or removed."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    return (
        sum(end - begin for kind, begin, end, *_ in matcher.get_opcodes() if kind in {"replace", "delete"})
        <= 1
    )


def _lines(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the number of each line that is a header or begins with a key, and the full path of that key."""
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
