"""One member of a user's JSON object comes and goes, and not a byte of the others changes."""

from __future__ import annotations

import json

import pytest

from tasks.remote import json_members
from tasks.remote.steps import Conflict

ADDED = {
    "": '{\n\t"k": [\n\t\t"x"\n\t]\n}\n',
    "{}": '{"k": ["x"]}',
    "{ }\n": '{"k": ["x"] }\n',
    '{"a": 1.50e3}': '{"a": 1.50e3, "k": ["x"]}',
    '{ "a" : "k" , "b":[1 ,2] }': '{ "a" : "k" , "b":[1 ,2], "k": ["x"] }',
    '{\n  "a": {"k": "}"},\n  "b": true\n}\n': '{\n  "a": {"k": "}"},\n  "b": true,\n  "k": ["x"]\n}\n',
    '{\r\n\t"a": "\\u00e9é"\r\n}': '{\r\n\t"a": "\\u00e9é",\r\n\t"k": ["x"]\r\n}',
    '\ufeff{"a": {}}': '\ufeff{"a": {}, "k": ["x"]}',
}


@pytest.mark.parametrize("text", ADDED)
def test_a_member_is_added_as_the_last_one_and_goes_without_a_trace(text: str) -> None:
    added = json_members.put(text, "k", ["x"], "/d.json")
    assert added == ADDED[text]
    if text:
        assert json_members.drop(added, "k", "/d.json") == text


@pytest.mark.parametrize(
    ("text", "replaced", "dropped"),
    [
        ('{"k": [ ], "a": 1}', '{"k": ["x"], "a": 1}', '{"a": 1}'),
        ('{\n "k" : null\n}', '{\n "k" : ["x"]\n}', "{\n \n}"),
        ('{"a": 1,\n"k": ["y", "z"],\n"b": 2}', '{"a": 1,\n"k": ["x"],\n"b": 2}', '{"a": 1,\n"b": 2}'),
    ],
)
def test_a_member_that_is_there_is_replaced_in_its_place(text: str, replaced: str, dropped: str) -> None:
    assert json_members.put(text, "k", ["x"], "/d.json") == replaced
    assert json_members.drop(replaced, "k", "/d.json") == dropped


def test_what_is_not_there_is_not_dropped() -> None:
    assert json_members.drop('{"a": {"k": 1}}', "k", "/d.json") == '{"a": {"k": 1}}'


@pytest.mark.parametrize("text", ['{"a": 1', "[]", '{"a": 1, "a": 2}'])
def test_what_cannot_be_edited_is_a_conflict(text: str) -> None:
    with pytest.raises(Conflict, match=r"^/d\.json "):
        json_members.put(text, "k", ["x"], "/d.json")


def test_deep_objects_are_not_searched() -> None:
    text = json.dumps({"a": {"k": [1]}, "k": [2]})
    assert json.loads(json_members.put(text, "k", [3], "/d.json")) == {"a": {"k": [1]}, "k": [3]}
