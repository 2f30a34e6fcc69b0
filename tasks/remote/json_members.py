"""Single members of a JSON object that belongs to the user: all other bytes stay as they are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.remote import json_edit
from tasks.remote.steps import Conflict

_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class Member:
    """Where a member of an object is in its text: from `key` to `end`; its value begins at `value`."""

    name: str
    key: int
    value: int
    end: int


def put(text: str, name: str, value: Any, path: str) -> str:
    """Return a text whose object has this member: last, or in the place of the one that it has.

    Raises `Conflict` if the text is not a JSON object; `path` is the file that the message names.
    """
    wanted = {**json_edit.read(text, path), name: json_edit.read(json.dumps({name: value}), path)[name]}
    if not text.strip():
        return json.dumps({name: value}, indent="\t") + "\n"
    written, found = json.dumps(value), _members(text)
    if here := [each for each in found if each.name == name]:
        result = text[: here[-1].value] + written + text[here[-1].end :]
    elif found:
        before = found[-2].end + 1 if len(found) > 1 else text.index("{") + 1
        space = text[before : found[-1].key]
        space = space if "\n" in space and not space.strip() else " "
        end = found[-1].end
        result = f"{text[:end]},{space}{json.dumps(name)}: {written}{text[end:]}"
    else:
        at = text.index("{") + 1
        result = f"{text[:at]}{json.dumps(name)}: {written}{text[at:]}"
    return _checked(result, wanted, path)


def drop(text: str, name: str, path: str) -> str:
    """Return a text without this member: the very one that it was before `put` added it."""
    wanted = {key: value for key, value in json_edit.read(text, path).items() if key != name}
    found = _members(text)
    for number, each in reversed(list(enumerate(found))):
        if each.name != name:
            continue
        if number:
            text = text[: found[number - 1].end] + text[each.end :]
        elif len(found) > 1:
            text = text[: each.key] + text[found[1].key :]
        else:
            text = text[: each.key] + text[each.end :]
    return _checked(text, wanted, path)


def _members(text: str) -> list[Member]:
    """Return the members of the object in a text that is known to hold one."""
    decoder, found = json.JSONDecoder(strict=True, parse_int=str, parse_float=str), []
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, end = decoder.raw_decode(text, at)
        value = _after_space(text, _after_space(text, end) + 1)
        _, end = decoder.raw_decode(text, value)
        found.append(Member(name, at, value, end))
        at = _after_space(text, end)
        at = _after_space(text, at + 1) if text[at] == "," else at
    return found


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _checked(text: str, wanted: dict[str, Any], path: str) -> str:
    if json_edit.read(text, path) != wanted:
        raise Conflict(
            f"{path} is JSON in a form that cannot be edited here", "write it plainly and run again"
        )
    return text
