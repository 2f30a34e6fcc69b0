"""A JSON file that belongs to the user: read, and written again in its own layout."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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
            text.removeprefix("\ufeff"),
            parse_constant=_reject_constant,
            parse_float=_keep_number,
            parse_int=_keep_number,
            object_pairs_hook=_keep_duplicates,
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
    # UTF-8 has no half of a surrogate pair, which an escape can write.
    ascii_only = like.isascii() or re.search(r"\\u[dD][89a-fA-F]", like) is not None
    return _NUMBER.sub(r"\1", json.dumps(value, indent=indent, ensure_ascii=ascii_only)) + ending


def keys_for(found: Mapping[str, Any], field: str) -> list[str]:
    """Return the keys of an object that Go takes for a field of a struct: in any case, and each of several."""
    return [key for key in found if _fold(key) == _fold(field)]


def string(found: Mapping[str, Any], field: str) -> tuple[str, str]:
    """Return the string that Go reads in a field, and its key; empty ones if there is none. A null changes nothing."""
    given = [
        (text, key) for key in keys_for(found, field) if (text := string_or_none(found[key])) is not None
    ]
    return given[-1] if given else ("", "")


def string_or_none(value: Any) -> str | None:
    """Return a value that is a string, None for any other."""
    return value if isinstance(value, str) and not isinstance(value, _Number) else None


def mapping(found: Mapping[str, Any], field: str) -> dict[str, tuple[Any, str]]:
    """Return the map that Go reads in a field: its values, and the key of the object that each comes from.

    Several objects add up, and a null forgets those before it.
    """
    result: dict[str, tuple[Any, str]] = {}
    for key in keys_for(found, field):
        if found[key] is None:
            result = {}
        elif isinstance(found[key], dict):
            result |= {inner: (value, key) for inner, value in found[key].items()}
    return result


def _fold(key: str) -> str:
    """Fold a key as Go does (encoding/json, fold.go): single characters alone."""
    return "".join(folded if len(folded := each.casefold()) == 1 else each for each in key)


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


class _Number(str):
    """A number as it is written, behind characters that no file holds: Python would round it, or refuse it."""

    __slots__ = ()


_NUMBER = re.compile(r'"\\u0000\\u0001(-?[0-9.eE+-]+)"')


def _keep_number(literal: str) -> _Number:
    return _Number(f"\0\1{literal}")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value")
