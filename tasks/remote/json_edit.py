"""A JSON text that belongs to the user: one value of it set, and every other byte as it was.

Parsing and printing anew would lose how it is written (spacing, escapes, numbers). So a new value is cut into the
text where the old one stood, in the manner of what stands around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tasks.remote.steps import Conflict

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class _Member:
    """Where in a text a member's key begins and ends, and its value."""

    key: int
    colon: int
    begin: int
    end: int
    value: Any


def read(text: str, path: str) -> dict[str, Any]:
    """Return the object that a text is, an empty one for an empty text.

    Raises `Conflict` with the line where it is broken; `path` is the file that it speaks of.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Conflict(
            f"{path} line {error.lineno} is no JSON ({error.msg})", "correct it and run again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Conflict(f"{path} is no JSON ({error})", "correct it and run again") from None
    if not isinstance(found, dict):
        raise Conflict(f"{path} line 1 is JSON, but not an object", "correct it and run again")
    return found


def put(text: str, keys: Sequence[str], value: object) -> str:
    """Return the text with `value` at the place that `keys` lead to, made where it is missing.

    The text is one that `read` took. What stands in the way of `keys` and is no object is replaced.
    """
    if not text.strip():
        return _render(_nested(keys, value), "\t", "\n", ": ")
    unit, newline = _style(text)
    begin = _skip(text, 1 if text.startswith("\ufeff") else 0)
    level = 0
    while True:
        members = _members(text, begin)
        found = members.get(keys[level])
        if found is None:
            return _insert(
                text, begin, members, keys[level], _nested(keys[level + 1 :], value), unit, newline
            )
        level += 1
        if level == len(keys) or not isinstance(found.value, dict) or not found.value:
            new = _nested(keys[level:], value)
            return text[: found.begin] + _like(text, found, new, unit, newline) + text[found.end :]
        begin = found.begin


def line_of(text: str, keys: Sequence[str]) -> int:
    """Return the line on which the key stands that `keys` lead to; 1 where it does not stand at all."""
    begin, at = _skip(text, 1 if text.startswith("\ufeff") else 0), 0
    for key in keys:
        found = _members(text, begin).get(key) if text[begin : begin + 1] == "{" else None
        if found is None:
            break
        at, begin = found.key, found.begin
    return text.count("\n", 0, at) + 1


def _members(text: str, begin: int) -> dict[str, _Member]:
    """Return the members of the object that begins there; of two with one key the last, which every reader takes."""
    members: dict[str, _Member] = {}
    at = _skip(text, begin + 1)
    while text[at] != "}":
        at = _skip(text, at + 1) if text[at] == "," else at
        key, colon = _DECODER.raw_decode(text, at)
        value_at = _skip(text, _skip(text, colon) + 1)
        value, end = _DECODER.raw_decode(text, value_at)
        members.pop(key, None)
        members[key] = _Member(at, colon, value_at, end, value)
        at = _skip(text, end)
    return members


def _insert(
    text: str, begin: int, members: dict[str, _Member], key: str, value: object, unit: str, newline: str
) -> str:
    """Put a new member behind the last one, spaced as the first one is; an empty object is written anew."""
    if not members:
        end = text.index("}", begin) + 1
        indent = _indent(text, begin)
        return text[:begin] + _render({key: value}, unit, newline, ": ", indent) + text[end:]
    first, last = next(iter(members.values())), list(members.values())[-1]
    before = text[begin + 1 : first.key]
    colon = text[first.colon : first.begin]
    if "\n" in before:
        rendered = _render(value, unit, newline, colon, before.rpartition("\n")[2])
    else:
        rendered = _compact(value, colon)
        before = before or (" " if colon.endswith(" ") else "")
    return f"{text[: last.end]},{before}{json.dumps(key)}{colon}{rendered}{text[last.end :]}"


def _like(text: str, old: _Member, value: object, unit: str, newline: str) -> str:
    """Return a value as it is written in another's stead."""
    line = text[text.rfind("\n", 0, old.key) + 1 : old.key]
    colon = text[old.colon : old.begin]
    if line.strip():  # it shares its line with what stands before it
        return _compact(value, colon)
    return _render(value, unit, newline, colon, line)


def _render(value: object, unit: str, newline: str, colon: str, indent: str = "") -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    inner = indent + unit
    members = (f"{json.dumps(key)}{colon}{_render(value[key], unit, newline, colon, inner)}" for key in value)
    return "{" + newline + inner + f",{newline}{inner}".join(members) + newline + indent + "}"


def _compact(value: object, colon: str) -> str:
    return json.dumps(value, separators=(", " if colon.endswith(" ") else ",", colon))


def _style(text: str) -> tuple[str, str]:
    """Return what a text is indented with, and how its lines end; Docker's own where it does not tell."""
    found = re.search(r'\{\r?\n([ \t]+)"', text)
    return (found[1] if found else "\t"), ("\r\n" if "\r\n" in text else "\n")


def _indent(text: str, at: int) -> str:
    """Return the white space that the line of a place begins with."""
    found = _SPACE.match(text, text.rfind("\n", 0, at) + 1)
    return found[0] if found and found.end() <= at else ""


def _nested(keys: Sequence[str], value: object) -> object:
    for key in reversed(keys):
        value = {key: value}
    return value


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value")
