"""A value set in somebody else's JSON: every case to the byte, and what is not JSON refused with its line."""

from __future__ import annotations

import json

import pytest

from tasks.remote import json_edit
from tasks.remote.steps import Conflict

TABS = '{\n\t"auths": {\n\t\t"n": {\n\t\t\t"auth": "NEW"\n\t\t}\n\t}\n}'


def put(text: str) -> str:
    """Return a text with one value set, as a login is."""
    value = json_edit.read(text, "f")
    auths = value.get("auths") or {}
    entry = {**auths.get("n", {}), "auth": "NEW"}
    return json_edit.render({**value, "auths": {**auths, "n": entry}}, like=text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Nothing there: as Docker itself would write it.
        ("", TABS),
        (" \n", TABS + " \n"),
        ("{}", TABS),
        ("{ \n}\n", TABS + "\n"),
        # On one line.
        ('{"a":1}', '{"a": 1, "auths": {"n": {"auth": "NEW"}}}'),
        ('{ "a": 1 }\n', '{"a": 1, "auths": {"n": {"auth": "NEW"}}}\n'),
        ('{"auths": null, "b": 2}', '{"auths": {"n": {"auth": "NEW"}}, "b": 2}'),
        # On many, indented as it is.
        ('{\n  "x": [],\n  "auths": {},\n  "b": 1.5\n}\n\n',
         '{\n  "x": [],\n  "auths": {\n    "n": {\n      "auth": "NEW"\n    }\n  },\n  "b": 1.5\n}\n\n'),
        ('{\n\t"auths": {\n\t\t"q": {\n\t\t\t"auth": "x"\n\t\t}\n\t}\n}',
         '{\n\t"auths": {\n\t\t"q": {\n\t\t\t"auth": "x"\n\t\t},\n\t\t"n": {\n\t\t\t"auth": "NEW"\n\t\t}\n\t}\n}'),
        ('{\n"auths": {\n"q": {}\n}\n}', '{\n"auths": {\n"q": {},\n"n": {\n"auth": "NEW"\n}\n}\n}'),
        ('{"a": [1,\n2]}', '{\n\t"a": [\n\t\t1,\n\t\t2\n\t],' + TABS[1:]),
        # A mark before the first line goes: Docker reads no file with one.
        ('\ufeff{\r\n  "auths": {}\r\n}', '{\n  "auths": {\n    "n": {\n      "auth": "NEW"\n    }\n  }\n}'),
        # Other keys of the entry stay, and escapes if the text has only those.
        ('{"auths": {"n": {"email": "e\\u00e9", "auth" : "OLD"}, "z": {}}}',
         '{"auths": {"n": {"email": "e\\u00e9", "auth": "NEW"}, "z": {}}}'),
        ('{"auths": {"n": {"email": "é"}}}', '{"auths": {"n": {"email": "é", "auth": "NEW"}}}'),
        # Of two keys of one name the last counts, and both stay.
        ('{"auths": {"n": {"auth": "A"}, "n": {"auth": "B"}}}', '{"auths": {"n": {"auth": "A"}, "n": {"auth": "NEW"}}}'),
        ('{"auths": {"q": 1}, "b": 2, "auths": {}}', '{"auths": {"q": 1}, "b": 2, "auths": {"n": {"auth": "NEW"}}}'),
        # Names that look like the structure.
        ('{"a{\\"b\\"": "}", "auths": {"}": 1}}', '{"a{\\"b\\"": "}", "auths": {"}": 1, "n": {"auth": "NEW"}}}'),
    ],
)  # fmt: skip
def test_a_text_is_written_again_in_its_own_layout(before: str, after: str) -> None:
    assert put(before) == after
    assert put(after) == after
    assert json_edit.read(after, "f")["auths"]["n"]["auth"] == "NEW"


def test_no_layout_changes_what_a_text_says() -> None:
    """An independent path: Python's own parser on the text before, and on the one after."""
    texts = [json.dumps({"a": [1, {"b": None}], "auths": auths, "z": "é"}, indent=indent, separators=separators)
             for auths in ({}, {"q": {"auth": "x"}}, {"n": {"auth": "y", "k": {"l": 1}}}, None)
             for indent in (None, 0, 1, 3, "\t") for separators in (None, (",", ":"), (" , ", " : "))]  # fmt: skip
    for text in texts:
        wanted = json.loads(text)
        wanted["auths"] = wanted["auths"] or {}
        wanted["auths"].setdefault("n", {})["auth"] = "NEW"
        assert json.dumps(json.loads(put(text))) == json.dumps(wanted)  # and the order of keys


@pytest.mark.parametrize("number", ["1e400", "1.10", "-0.0", "1E+2", "9" * 5000, "0.1000000000000000055"])
def test_numbers_stay_as_they_are_written(number: str) -> None:
    assert put(f'{{"a": {number}}}') == f'{{"a": {number}, "auths": {{"n": {{"auth": "NEW"}}}}}}'


def test_half_of_a_surrogate_pair_stays_an_escape() -> None:
    assert put('{"a": "é\\ud800"}') == '{"a": "\\u00e9\\ud800", "auths": {"n": {"auth": "NEW"}}}'


@pytest.mark.parametrize(
    ("text", "string", "mapping"),
    [
        ("{}", ("", ""), {}),
        ('{"credsstore": "a", "m": {"x": 1}}', ("a", "credsstore"), {}),
        ('{"credsStore": "a", "CREDSSTORE": "b", "credsStore": null}', ("b", "CREDSSTORE"), {}),
        ('{"credsStore": "a", "cred\u017f\u017ftore": "b"}', ("b", "cred\u017f\u017ftore"), {}),
        ('{"credsStore": 5, "cred\u00dftore": "x"}', ("", ""), {}),
        ('{"Map": {"x": "a", "y": "b"}, "map": {"x": "c"}}', ("", ""), {"x": ("c", "map"), "y": ("b", "Map")}),
        ('{"map": {"x": "a"}, "MAP": null}', ("", ""), {}),
        ('{"map": {"x": "a", "X": "b", "x": "c"}}', ("", ""), {"x": ("c", "map"), "X": ("b", "map")}),
    ],
)  # fmt: skip
def test_a_field_is_found_as_go_finds_it(
    text: str, string: tuple[str, str], mapping: dict[str, tuple[str, str]]
) -> None:
    found = json_edit.read(text, "f")
    assert json_edit.string(found, "credsStore") == string
    known = {key: value for key, value in json_edit.mapping(found, "map").items() if key in mapping}
    assert known == mapping


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n  "a": 1,\n}', "f line 3 is not JSON"),
        ('{"a": 1}\n\n{"b": 2}', "f line 3 is not JSON (Extra data)"),
        ('{\n"a": secret}', "f line 2 is not JSON (Expecting value)"),
        ('{"a": NaN}', "f is not JSON (NaN is not a value)"),
        ("[1]", "f line 1 is JSON, but not an object"),
        ("[" * 100_000, "f is not JSON ("),
    ],
    ids=range(6),
)
def test_what_is_not_json_is_rejected_with_its_line_and_without_its_text(text: str, problem: str) -> None:
    with pytest.raises(Conflict) as stop:
        json_edit.read(text, "f")
    assert stop.value.problem.startswith(problem)
    assert "secret" not in str(stop.value)
