"""A mirror in a `daemon.json`, however that is written: it comes and goes, and not a byte else changes."""

from __future__ import annotations

import json

from hypothesis import given

from tasks.docker_hosts.daemon_json import KEY
from tasks.remote import json_edit, json_members
from tasks.remote.steps import Conflict
from tests.mergers import json_texts

URL = "https://mirror.homelab.local"


def members(text: str) -> object:
    """Return what a text says: of objects all members in their order, and of numbers how they are written."""
    return json.loads(text, object_pairs_hook=json_texts.Members, parse_float=str, parse_int=str)


@given(text=json_texts.files(("x",)))
def test_a_mirror_comes_and_goes_without_a_trace(soak: bool, text: str) -> None:
    if not text.strip():
        return
    try:
        added = json_members.put(text, KEY, [URL], "/d.json")
    except Conflict:  # the same key twice in an object
        assert any(type(key) is not str for key in keys(json_edit.read(text, "/d.json")))
        return
    assert members(added) == [*members(text), (KEY, [URL])]  # type: ignore[misc]
    assert json_members.drop(added, KEY, "/d.json") == text


def keys(value: object) -> list[object]:
    """Return all keys in a value, at any depth."""
    if isinstance(value, dict):
        return [*value, *(key for each in value.values() for key in keys(each))]
    return [key for each in value for key in keys(each)] if isinstance(value, list) else []
