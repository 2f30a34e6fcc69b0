"""JSON as people and tools write `config.json`: a strategy for whole files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

WORDS = st.one_of(
    st.sampled_from(["", "pass", "desktop", "ecr-login", "a b", "é", "\U0001f600", "\u2028", '"', "\\", "{", "auths", "line\nbreak"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)  # fmt: skip
NUMBERS = st.sampled_from(
    ["0", "-0", "1.10", "1e400", "-1E+2", "123456789012345678901234567890", "0.1000000000000000055"]
)


class Members(list[tuple[str, Any]]):
    """The members of an object, in their order and with duplicates."""


class Raw(str):
    """A number, written as it is."""

    __slots__ = ()


def objects(
    keys: st.SearchStrategy[str], values: st.SearchStrategy[Any], most: int = 3
) -> st.SearchStrategy[Members]:
    return st.lists(st.tuples(keys, values), max_size=most).map(Members)


ANY = st.recursive(
    st.one_of(WORDS, NUMBERS.map(Raw), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), objects(WORDS, inner, 2)),
    max_leaves=4,
)


def cased(*names: str) -> st.SearchStrategy[str]:
    """Return a strategy for names in any case, mostly as they are."""
    name = st.sampled_from(names)
    other = st.builds(
        lambda each, change: change(each), name, st.sampled_from([str.lower, str.upper, str.title])
    )
    return st.one_of(name, name, name, name, other, name.map(lambda each: each.replace("s", "\u017f")))


AUTHS = st.sampled_from(["eDp5", "Y2x1c3RlcjpvbGQ=", ""])
ENTRY = objects(cased("auth", "email", "identitytoken", "username", "password"), AUTHS, 2)


@st.composite
def written(draw: st.DrawFn, value: Any, layout: Sequence[str], depth: int = 0) -> str:
    """Draw how a value is written; `layout` is what begins a line, one step of indentation, and the colon."""
    line, step, colon = layout
    if isinstance(value, Members | list):
        opened, closed = "{}" if isinstance(value, Members) else "[]"
        items = [
            f"{draw(written(each[0], layout))}{colon}{draw(written(each[1], layout, depth + 1))}"
            if isinstance(value, Members)
            else draw(written(each, layout, depth + 1))
            for each in value
        ]
        if not items:
            return opened + draw(st.sampled_from(["", "", " "])) + closed
        inner = line + step * (depth + 1) if line else ""
        return (
            f"{opened}{inner}{f',{inner or step}'.join(items)}{line + step * depth if line else ''}{closed}"
        )
    if isinstance(value, Raw):
        return value
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def files(draw: st.DrawFn, names: Sequence[str]) -> str:
    """Draw a `config.json` that may have entries for `names`."""
    hosts = st.sampled_from([*names, *names, "https://index.docker.io/v1/", "ghcr.io", names[0].upper()])
    member = st.one_of(
        st.tuples(cased("auths"), st.one_of(objects(hosts, st.one_of(ENTRY, ENTRY, st.none())), st.just(Members()))),
        st.tuples(cased("credHelpers"), objects(hosts, WORDS)),
        st.tuples(cased("credsStore"), st.one_of(WORDS, st.none())),
        st.tuples(st.sampled_from(["HttpHeaders", "detachKeys", "proxies", "x", "currentContext"]).map("x-".__add__), ANY),
    )  # fmt: skip
    value = Members(draw(st.lists(member, max_size=5)))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    layout = draw(
        st.sampled_from(
            [("", "", ":"), ("", " ", ": "), (end, "\t", ": "), (end, "  ", " : "), (end, "", ":")]
        )
    )
    text: str = draw(written(value, layout))
    if not value and draw(st.booleans()):
        text = draw(st.sampled_from(["", " \n"]))
    return draw(st.sampled_from(["", "", "", "\n"])) + text + draw(st.sampled_from(["", "\n", end + end]))
