"""A JSON file that belongs to the user: read, and written again in its own layout."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from tasks.remote.steps import Conflict


def read(text: str, path: str) -> dict[str, Any]:
    """Return the object that a text holds, an empty one for an empty text.

    Raises `Conflict` with the line if the text is not a JSON object; `path` is the file that the message names.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_reject_constant, object_pairs_hook=_keep_duplicates
        )
    except json.JSONDecodeError as error:
        raise Conflict(
            f"{path} line {error.lineno} is not JSON ({error.msg})", "correct it and run again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Conflict(f"{path} is not JSON ({error})", "correct it and run again") from None
    if not isinstance(found, dict):
        raise Conflict(f"{path} line 1 is JSON, but not an object", "correct it and run again")
    return found


def render(value: dict[str, Any], like: str) -> str:
    """Return an object as JSON, with the indentation and the end of the text `like`.

    An object on one line stays on one line. If `like` has no members, the indentation is Docker's, a tab
    (docker/cli, configfile/file.go).
    """
    indented = re.search(r'\n([ \t]*)"', like)
    one_line = '"' in like and "\n" not in like.strip()
    indent = indented[1] if indented else None if one_line else "\t"
    ending = like[len(like.rstrip()) :]
    return json.dumps(value, indent=indent, ensure_ascii=like.isascii(), allow_nan=False) + ending


class _Shadowed(str):
    """A key that comes again later in the same object: it is written again, but no look-up finds it."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _keep_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with its duplicate keys. Of two objects under one key Docker reads both (Go, encoding/json)."""
    last = {key: number for number, (key, _) in enumerate(members)}
    return {
        key if number == last[key] else _Shadowed(key): value for number, (key, value) in enumerate(members)
    }


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value")
