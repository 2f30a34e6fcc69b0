"""Logins in a `config.json`, however that is written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from tasks.accounts import logins
from tasks.accounts.logins import Login
from tests.mergers import json_texts, shapes

NAMES = ("registry.example:5443", "[fd00::1]:5443")
LOGIN = Login("cluster", "p\"w\\ é: #'")
TEXTS = json_texts.files(NAMES)


def members(text: str) -> Any:
    """Return what a text says: of objects all members in their order, and of numbers how they are written."""
    return (
        json.loads(text, object_pairs_hook=json_texts.Members, parse_float=str, parse_int=str)
        if text.strip()
        else []
    )


def merge(text: str, login: Login = LOGIN) -> str:
    return logins.merge(text, NAMES, login, "/c.json")


def others(text: str) -> Any:
    """Return all members but our entries; an empty `auths` is none."""
    found = [
        (key, [each for each in value or [] if each[0] not in NAMES] if key.casefold() == "auths" else value)
        for key, value in members(text)
    ]
    return [(key, value) for key, value in found if key.casefold() != "auths" or value]


@shapes.examples(shapes.CONFIG_JSON)
@given(text=TEXTS)
def test_our_logins_are_added_and_nothing_else_changes(soak: bool, text: str) -> None:
    after = merge(text)
    assert others(after) == others(text)
    assert merge(after) == after
    assert logins.missing(after, NAMES, "/c.json") == []
    changed = merge(after, Login("ci", "x"))
    assert others(changed) == others(text)
    assert merge(changed) == after or after == text
    assert (
        logins.helper_for(after, NAMES[0], "/c.json") == logins.helper_for(text, NAMES[0], "/c.json")
        or after != text
    )
