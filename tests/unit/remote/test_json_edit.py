"""A value set in somebody else's JSON: every case to the byte, and what is no JSON refused with its line."""

from __future__ import annotations

import json

import pytest

from tasks.remote import json_edit
from tasks.remote.steps import Conflict

TABS = '{\n\t"auths": {\n\t\t"n": {\n\t\t\t"auth": "NEW"\n\t\t}\n\t}\n}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Nothing there: as Docker itself would write it.
        ("", TABS),
        (" \n", TABS),
        ("{}", TABS),
        ("{ \n}\n", TABS + "\n"),
        # On one line, wide or narrow.
        ('{"a":1}', '{"a":1,"auths":{"n":{"auth":"NEW"}}}'),
        ('{"a": 1}', '{"a": 1, "auths": {"n": {"auth": "NEW"}}}'),
        ('{ "a": 1 }\n', '{ "a": 1, "auths": {"n": {"auth": "NEW"}} }\n'),
        ('{"auths":{}}', '{"auths":{"n":{"auth":"NEW"}}}'),
        ('{"auths": null, "b": 2}', '{"auths": {"n": {"auth": "NEW"}}, "b": 2}'),
        ('{"auths": {"n": "x"}}', '{"auths": {"n": {"auth": "NEW"}}}'),
        # On many, indented as it is.
        ('{\n  "auths": {},\n  "x": 1.0e5\n}\n',
         '{\n  "auths": {\n    "n": {\n      "auth": "NEW"\n    }\n  },\n  "x": 1.0e5\n}\n'),
        ('{\n\t"auths": {\n\t\t"q": {\n\t\t\t"auth": "x"\n\t\t}\n\t}\n}',
         '{\n\t"auths": {\n\t\t"q": {\n\t\t\t"auth": "x"\n\t\t},\n\t\t"n": {\n\t\t\t"auth": "NEW"\n\t\t}\n\t}\n}'),
        ('{\n    "x" : [1,\n2],\n    "auths" : {"q":{}}\n}', '{\n    "x" : [1,\n2],\n    "auths" : {"q":{},"n":{"auth":"NEW"}}\n}'),
        ('{\n"auths": {\n"q": {}\n}\n}', '{\n"auths": {\n"q": {},\n"n": {\n\t"auth": "NEW"\n}\n}\n}'),
        # The ends of lines, and a mark before the first.
        ('\ufeff{\r\n  "auths": {\r\n    "q": {}\r\n  }\r\n}',
         '\ufeff{\r\n  "auths": {\r\n    "q": {},\r\n    "n": {\r\n      "auth": "NEW"\r\n    }\r\n  }\r\n}'),
        # The entry that is there: its one value, and nothing about it.
        ('{"auths":{"n":{"email":"e\\u00e9","auth" : "OLD"},"z":{}}}', '{"auths":{"n":{"email":"e\\u00e9","auth" : "NEW"},"z":{}}}'),
        ('{\n  "auths": {\n    "n": {"auth": "OLD",\n              "x": [ {"n": 1} ]}\n  }\n}',
         '{\n  "auths": {\n    "n": {"auth": "NEW",\n              "x": [ {"n": 1} ]}\n  }\n}'),
        ('{"auths": {"n": {}}}', '{"auths": {"n": {"auth": "NEW"}}}'),
        # Of two keys of one name every reader takes the last.
        ('{"auths": {"n": {"auth": "A"}, "n": {"auth": "B"}}}', '{"auths": {"n": {"auth": "A"}, "n": {"auth": "NEW"}}}'),
        # Names that look like the structure.
        ('{"a{\\"b\\"": "}", "auths": {"}": 1}}', '{"a{\\"b\\"": "}", "auths": {"}": 1, "n": {"auth": "NEW"}}}'),
    ],
)  # fmt: skip
def test_one_value_is_set_and_every_other_byte_kept(before: str, after: str) -> None:
    assert json_edit.put(before, ["auths", "n", "auth"], "NEW") == after
    assert json_edit.read(after, "f")["auths"]["n"]["auth"] == "NEW"
    assert json_edit.put(after, ["auths", "n", "auth"], "NEW") == after


def test_what_is_written_is_what_a_parser_would_have_made_of_it() -> None:
    """An independent path: Python's own parser on the text before, and on the one after."""
    texts = [json.dumps({"a": [1, {"b": None}], "auths": auths, "z": "é"}, indent=indent, separators=separators)
             for auths in ({}, {"q": {"auth": "x"}}, {"n": {"auth": "y", "k": {"l": 1}}}, None)
             for indent in (None, 0, 1, 3, "\t") for separators in (None, (",", ":"), (" , ", " : "))]  # fmt: skip
    for text in texts:
        wanted = json.loads(text)
        wanted["auths"] = wanted["auths"] or {}
        wanted["auths"].setdefault("n", {})["auth"] = "NEW"
        assert json.loads(json_edit.put(text, ["auths", "n", "auth"], "NEW")) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n  "a": 1,\n}', "f line 3 is no JSON"),
        ('{"a": 1}\n\n{"b": 2}', "f line 3 is no JSON (Extra data)"),
        ('{\n"a": secret}', "f line 2 is no JSON (Expecting value)"),
        ('{"a": NaN}', "f is no JSON (NaN is no value)"),
        ("[1]", "f line 1 is JSON, but not an object"),
        ("[" * 100_000, "f is no JSON ("),
    ],
    ids=range(6),
)
def test_what_is_no_json_is_refused_with_its_line_and_without_its_text(text: str, problem: str) -> None:
    with pytest.raises(Conflict) as stop:
        json_edit.read(text, "f")
    assert stop.value.problem.startswith(problem)
    assert "secret" not in str(stop.value)


def test_the_line_of_a_key() -> None:
    text = '{\n "x": {"b": 1},\n\n "a": {\n  "b": "x"\n }\n}'
    lines = {("x",): 2, ("a",): 4, ("a", "b"): 5, ("a", "c"): 4, ("q",): 1, ("a", "b", "c"): 5}
    assert {keys: json_edit.line_of(text, keys) for keys in lines} == lines
