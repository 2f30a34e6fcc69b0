"""A TOML file that belongs to the user: read it, find a key's line, and set one value without changing another byte."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.remote.source_lines import split_lines
from tasks.remote.steps import Conflict

UNREADABLE = (ValueError, RecursionError)
"""What tomllib raises: its own error, and Python's for numbers of thousands of digits and for deep nesting."""

_HEADER = re.compile(r"\s*\[\[?(?P<name>[^\]]+)\]\]?\s*(?:#.*)?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = (
    r"""[ \t]*(?P<string>\"{3}(?:[^"\\\n]|\\.)*\"{3}|'{3}[^'\n]*'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')(?!["'])"""
)
_INDENT = re.compile(r"[ \t]*")
_KEY = re.compile(r"""\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def read(text: str, path: str) -> dict[str, Any]:
    """Return what a text says; `Conflict` with the line if it is not TOML. `path` is the file that messages name."""
    try:
        return tomllib.loads(without_bom(text))
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
    return next((line.number for line in _lines(text) if line.path[: len(wanted)] == wanted), 1)


def put(text: str, keys: Sequence[str], value: str, path: str) -> str:
    """Return the text with `value` at the path `keys`; a missing table is added at the end.

    Raises `Conflict` if that is not possible without changing something else.
    """
    wanted = read(text, path)
    table = wanted
    try:
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        if table.get(keys[-1]) == value:
            return text
        table[keys[-1]] = value
    except (AttributeError, TypeError):
        line = line_of(text, keys[:1])
        raise Conflict(f"{path} line {line} is not a table", "correct it and run again") from None
    bom = text[: len(text) - len(without_bom(text))]
    for change in (_append, _insert, _replace):
        for changed in change(without_bom(text), keys, json.dumps(value)):
            if _says(changed, wanted):
                return bom + changed
    raise Conflict(
        f"{path} line {line_of(text, keys[:-1])} is written in a way that this project cannot add to",
        f'set {keys[-1]} = "{value}" there yourself and run again',
    )


def _append(text: str, keys: Sequence[str], value: str) -> Iterator[str]:
    """Yield the text with the table at its end; the result is not TOML if there is such a table already."""
    end = _line_end(text)
    begin = "" if text.endswith("\n") or not text else end
    gap = end if text.strip() else ""
    yield f"{text}{begin}{gap}[{_dotted(keys[:-1])}]{end}{keys[-1]} = {value}{end}"


def _insert(text: str, keys: Sequence[str], value: str) -> Iterator[str]:
    """Yield the text with the value added at each place that may be its table's.

    That is right below a header, above a dotted key, or first in an inline table. What looks like one may be part of a
    string, or of an array of tables.
    """
    end = _line_end(text)
    for line in _lines(text):
        table, inside = tuple(keys[: len(line.path)]), _dotted(keys[len(line.path) :])
        lines = split_lines(text)
        if line.key is None and line.path == tuple(keys[:-1]):
            if not lines[line.number - 1].endswith("\n"):
                lines[line.number - 1] += end
            below = lines[line.number] if line.number < len(lines) else ""
            indent = _INDENT.match(below if _KEY.match(below) else "")
            lines.insert(line.number, f"{indent[0] if indent else ''}{inside} = {value}{end}")
            yield "".join(lines)
        elif line.key is not None and line.table == tuple(keys[: len(line.table)]):
            opened = re.compile(r"\s*\{(?=\s*(\})?)").match(lines[line.number - 1], line.key.end())
            if opened and line.path == table and inside:
                at, comma = opened.end(), "" if opened[1] else ", "
                lines[line.number - 1] = (
                    f"{lines[line.number - 1][:at]}{inside} = {value}{comma}{lines[line.number - 1][at:]}"
                )
            else:
                indent = _INDENT.match(lines[line.number - 1])
                lines.insert(
                    line.number - 1,
                    f"{indent[0] if indent else ''}{_dotted(keys[len(line.table) :])} = {value}{end}",
                )
            yield "".join(lines)


def _replace(text: str, keys: Sequence[str], value: str) -> Iterator[str]:
    """Yield the text with the value in the place of each string that may be its present one."""
    for found in re.finditer(rf"""{re.escape(keys[-1])}["']?[ \t]*={_STRING}""", text):
        yield text[: found.start("string")] + value + text[found.end("string") :]


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except UNREADABLE:
        return False


def _line_end(text: str) -> str:
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


@dataclass(frozen=True)
class _Line:
    """A line that is a header, or that begins with a key: its full path, and that of the table it stands in."""

    number: int
    path: tuple[str, ...]
    table: tuple[str, ...]
    key: re.Match[str] | None


def _lines(text: str) -> Iterator[_Line]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(split_lines(without_bom(text)), 1):
        if header := _HEADER.fullmatch(line.rstrip("\r\n")):
            table = _parts(header["name"])
            yield _Line(number, table, table, None)
        elif key := _KEY.match(line):
            yield _Line(number, table + _parts(key["name"]), table, key)


def _dotted(keys: Sequence[str]) -> str:
    return ".".join(key if _BARE.fullmatch(key) else json.dumps(key) for key in keys)


def without_bom(text: str) -> str:
    """Return the text without a byte order mark. containerd 1.x reads a file with one, 2.x does not (go-toml)."""
    return text.removeprefix("\ufeff")


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
