"""Logins in a `config.json`, and the answers of credential helpers."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from tasks.accounts import logins
from tasks.accounts.logins import Helper, HelperResponse, Login
from tasks.remote.steps import Conflict

A, B = "registry.homelab.local:5443", "[fd00::1]:5443"
LOGIN = Login("cluster", 'pass:"wörd"')
AUTH = b64encode('cluster:pass:"wörd"'.encode()).decode()
OTHER = b64encode(b"cluster:old").decode()
BOTH = f'{{"auths": {{"{A}": {{"auth": "{AUTH}"}}, "{B}": {{"auth": "{AUTH}"}}}}}}'
PATH = "/home/ci/.docker/config.json"


def merge(text: str, *names: str) -> str:
    return logins.merge(text, names or (A, B), Login("cluster", 'pass:"wörd"'), PATH)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f'{{\n\t"auths": {{\n\t\t"{A}": {{\n\t\t\t"auth": "{AUTH}"\n\t\t}},\n\t\t"{B}": {{\n\t\t\t"auth": "{AUTH}"\n\t\t}}\n\t}}\n}}'),
        ('{"credsStore": "x"}', f'{{"credsStore": "x", "auths": {{"{A}": {{"auth": "{AUTH}"}}, "{B}": {{"auth": "{AUTH}"}}}}}}'),
        # One that is wrong, with a key of the user's; one that is right, in a manner of its own.
        (f'{{"auths": {{"{A}": {{"auth": "{OTHER}", "email": "e"}}, "{B}":{{ "auth":"{AUTH}" }}}}}}',
         f'{{"auths": {{"{A}": {{"auth": "{AUTH}", "email": "e"}}, "{B}": {{"auth": "{AUTH}"}}}}}}'),
        # What would be taken instead of `auth` goes.
        (f'{{"auths":{{"{A}":{{"auth":"{AUTH}","identitytoken":"t"}},"{B}":{{"username":"u","password":"p"}}}}}}', BOTH),
        (f'{{"auths":{{"{A}":{{"auth":"%%%"}},"{B}":{{"auth":7}}}}}}', BOTH),
        (f'{{"auths":{{"{A}":null,"{B}":{{}}}}}}', BOTH),
        # Keys in another case are the same to Docker.
        (f'{{"Auths":{{"{A}":{{"Auth":"{AUTH}"}},"{B}":{{"AUTH":"{OTHER}"}}}}}}',
         f'{{"Auths": {{"{A}": {{"Auth": "{AUTH}"}}, "{B}": {{"auth": "{AUTH}"}}}}}}'),
        (f'{{"auths":{{"{A}":{{"auth":"{AUTH}","IdentityToken":"t"}}}},"AUTHS":{{"{B}":{{"auth":"{AUTH}"}}}}}}',
         f'{{"auths": {{"{A}": {{"auth": "{AUTH}", "IdentityToken": "t"}}}}, "AUTHS": {{"{B}": {{"auth": "{AUTH}"}}, "{A}": {{"auth": "{AUTH}"}}}}}}'),
        # Both right, and other registries' names that hold ours: nothing is written, whatever the layout.
        (f'{{"auths":{{"https://{A}/v2/":{{"auth":"q"}},"x{A}":{{}},"{A}":{{"auth":"{AUTH}"}},"{B}":{{"auth":"{AUTH}"}}}}}}', None),
    ],
)  # fmt: skip
def test_merge(before: str, after: str | None) -> None:
    after = before if after is None else after
    assert merge(before) == after
    assert merge(after) == after
    assert after.count(AUTH) >= 2


def test_without_a_name_nothing_is_touched() -> None:
    assert logins.merge('{"a" :1}', [], Login("x", "y"), PATH) == '{"a" :1}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n "auths": []\n}', f"{PATH} line 2: auths is not an object"),
        ('{\n "Auths": 5\n}', f"{PATH} line 2: auths is not an object"),
        (
            '{"auths": {"x": {}},\n "auths": null}',
            f"{PATH} line 2: a second auths is null, and hides the first",
        ),
        ('{"auths": {\n}', f"{PATH} line 2 is not JSON (Expecting ',' delimiter)"),
    ],
)
def test_a_broken_text_is_rejected(text: str, problem: str) -> None:
    with pytest.raises(Conflict) as stop:
        merge(text)
    assert stop.value.problem == problem


def test_which_are_missing() -> None:
    assert logins.missing(f'{{"auths": {{"{A}": {{}}}}}}', [A, B], PATH) == [B]
    assert logins.missing("", [A, B], PATH) == [A, B]


def test_no_secret_is_in_a_repr() -> None:
    assert "wörd" not in repr((LOGIN, HelperResponse(0, LOGIN.for_helper(A))))


@pytest.mark.parametrize(
    ("text", "helper"),
    [
        ("", None),
        ('{"auths": {}}', None),
        ('{"credsStore": ""}', None),
        ('{"credsStore": null, "credHelpers": 7}', None),
        ('{\n"credsStore": "pass"}', Helper("pass", f"{PATH} line 2")),
        (f'{{"credHelpers": {{"{B}": "gcr"}}}}', None),
        (f'{{"credsStore": "pass",\n"credHelpers": {{"{B}": "gcr",\n"{A}": "ecr"}}}}', Helper("ecr", f"{PATH} line 3")),
        (f'{{"credsStore": "pass", "credHelpers": {{"{A}": ""}}}}', None),
        # Go finds a key in any case, and of several the last wins.
        ('{\n"credsstore": "pass"}', Helper("pass", f"{PATH} line 2")),
        ('{"credsStore": "a",\n"CREDSSTORE": "b"}', Helper("b", f"{PATH} line 2")),
        ('{"credsStore": "a",\n"CREDSSTORE": ""}', None),
        (f'{{"CredHelpers":\n{{"{A}": "ecr"}}, "credHelpers": {{"x": "y"}}}}', Helper("ecr", f"{PATH} line 2")),
        (f'{{"CredHelpers": {{"{A.upper()}": "ecr"}}}}', None),
        (f'{{"credHelpers": {{"{A}": 5}}, "credsStore": 5}}', None),
    ],
)  # fmt: skip
def test_which_helper_is_used(text: str, helper: Helper | None) -> None:
    assert logins.helper_for(text, A, PATH) == helper


HELPER = Helper("pass", f"{PATH} line 2")
BEGIN = f"{PATH} line 2 keeps the logins of ci in docker-credential-pass, which "


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (
            HelperResponse(0, json.dumps({"ServerURL": A, "Username": "cluster", "Secret": 'pass:"wörd"'})),
            True,
        ),
        (HelperResponse(0, f'{{"Username": "cluster", "Secret": "old", "ServerURL": "{A}"}}'), False),
        (
            HelperResponse(0, f'{{"Username": "<token>", "Secret": "pass:\\"wörd\\"", "ServerURL": "{A}"}}'),
            False,
        ),
        (HelperResponse(0, "[]"), False),
        (HelperResponse(0, ""), False),
        (HelperResponse(0, "[" * 100_000), False),
        (HelperResponse(1, "credentials not found in native keychain\n"), False),
    ],
    ids=range(7),
)
def test_whether_a_helper_holds_the_login(response: HelperResponse, kept: bool) -> None:
    assert logins.helper_holds(response, HELPER, A, LOGIN, "ci") is kept


@pytest.mark.parametrize(
    ("response", "problem", "remedy"),
    [
        (None, "could not be asked", "write its name with letters, digits, dots, dashes and underscores only, and run again"),
        (HelperResponse(127), "cannot be run there", "install it for ci, or remove it from that file, and run again"),
        (HelperResponse(126), "cannot be run there", "install it for ci, or remove it from that file, and run again"),
        (HelperResponse(124), "gives no answer in 10 s", "unlock it for ci, or remove it from that file"),
        (HelperResponse(2, "secret"), "fails (exit code 2)",
         f"see why (echo {A} | docker-credential-pass get, as ci), or remove it from that file, and run again"),
    ],
)  # fmt: skip
def test_a_helper_that_cannot_be_used(response: HelperResponse | None, problem: str, remedy: str) -> None:
    with pytest.raises(Conflict) as stop:
        logins.helper_holds(response, HELPER, A, LOGIN, "ci")
    assert (stop.value.problem, stop.value.remedy) == (BEGIN + problem, remedy)


def test_what_a_helper_is_given() -> None:
    assert json.loads(LOGIN.for_helper(A)) == {"ServerURL": A, "Username": "cluster", "Secret": 'pass:"wörd"'}
