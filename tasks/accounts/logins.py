"""Logins in a `config.json` (Docker's; the kubelet and Podman use the same format), and in credential helpers.

The format is that of docker/cli (`cli/config/configfile/file.go`). If it names a helper for a registry, `auths` is not
read for that registry, even if the helper has no login.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tasks.remote import json_edit
from tasks.remote.source_lines import line_of
from tasks.remote.steps import Conflict

NOT_FOUND = "credentials not found in native keychain"
"""What a helper prints if it has no login for a registry (docker-credential-helpers, credentials/error.go)."""

_OVERRIDING = ("identitytoken", "registrytoken", "username", "password")
"""The keys of an entry that take precedence over its `auth`."""


@dataclass(frozen=True)
class Login:
    """An account of the registry, with its password."""

    account: str
    password: str = field(repr=False)

    @property
    def auth(self) -> str:
        """Both in the form of a `config.json`."""
        return b64encode(f"{self.account}:{self.password}".encode()).decode()

    def for_helper(self, name: str) -> str:
        """Return both in the form that a helper takes, for a registry's name."""
        return json.dumps({"ServerURL": name, "Username": self.account, "Secret": self.password})


@dataclass(frozen=True)
class Helper:
    """A credential helper, the program `docker-credential-NAME`; `where` is the file and line that name it."""

    name: str
    where: str

    @property
    def program(self) -> str:
        """The program's name."""
        return f"docker-credential-{self.name}"


@dataclass(frozen=True)
class HelperResponse:
    """A credential helper's answer to a request for a login: its exit code, and what it printed."""

    exit_code: int
    output: str = field(default="", repr=False)


def merge(text: str, names: Iterable[str], login: Login, path: str) -> str:
    """Return the text of a `config.json` with the login for each of `names`, in its own layout.

    If all are there already, the text is returned as it is. `path` is the file that messages name; raises `Conflict`
    with its line if the text is broken.
    """
    auths = _auths(text, path)
    outdated = [name for name in names if not _holds(auths.get(name), login)]
    if not outdated:
        return text
    found = json_edit.read(text, path)
    key = (json_edit.keys_for(found, "auths") or ["auths"])[-1]  # of several the last wins
    entries = dict(found.get(key) or {})
    for name in outdated:
        entry = auths.get(name)
        kept = entry if isinstance(entry, dict) and not _overriding(entry) else {}
        other_case = [each for each in json_edit.keys_for(kept, "auth") if each != "auth"]
        entries[name] = {each: kept[each] for each in kept if each not in other_case} | {"auth": login.auth}
    return json_edit.render({**found, key: entries}, like=text)


def missing(text: str, names: Iterable[str], path: str) -> list[str]:
    """Return those of `names` without an entry in a `config.json`."""
    return [name for name in names if name not in _auths(text, path)]


def helper_for(text: str, name: str, path: str) -> Helper | None:
    """Return the helper that keeps the login for a registry's name, None if it is the file itself.

    A registry's own helper takes precedence over `credsStore`; an empty name means the file.
    """
    found = json_edit.read(text, path)
    chosen, *keys = json_edit.string(found, "credsStore")
    helpers = json_edit.mapping(found, "credHelpers")
    if name in helpers:
        value, key = helpers[name]
        chosen, keys = json_edit.string_or_none(value) or "", [key, name]
    if not chosen:
        return None
    return Helper(chosen, f"{path} line {line_of(text, *(json.dumps(key) for key in keys))}")


def helper_holds(response: HelperResponse | None, helper: Helper, name: str, login: Login, user: str) -> bool:
    """Return whether a helper's response is this login; `Conflict` if the helper cannot be used.

    `response` None means that it could not be asked.
    """
    program = helper.program
    begin = f"{helper.where} keeps the logins of {user} in {program}"
    if response is None:
        raise Conflict(
            f"{begin}, which could not be asked",
            "write its name with letters, digits, dots, dashes and underscores only, and run again",
        )
    if response.exit_code in (126, 127):
        raise Conflict(
            f"{begin}, which cannot be run there",
            f"install it for {user}, or remove it from that file, and run again",
        )
    if response.exit_code == 124:
        raise Conflict(
            f"{begin}, which gives no answer in 10 s", f"unlock it for {user}, or remove it from that file"
        )
    if response.exit_code != 0:
        if NOT_FOUND in response.output:
            return False
        raise Conflict(
            f"{begin}, which fails (exit code {response.exit_code})",
            f"see why (echo {name} | {program} get, as {user}), or remove it from that file, and run again",
        )
    try:
        answer = json.loads(response.output)
        return bool((answer["Username"], answer["Secret"]) == (login.account, login.password))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _auths(text: str, path: str) -> dict[str, Any]:
    """Return the entries of a `config.json` by name, as Docker reads them."""
    found = json_edit.read(text, path)
    keys = json_edit.keys_for(found, "auths")
    values = [found[key] for key in keys]
    if any(value is not None and not isinstance(value, dict) for value in values):
        line = line_of(text, f'"{keys[-1]}"')
        raise Conflict(
            f"{path} line {line}: auths is not an object", "correct it (Docker's own is {}) and run again"
        )
    if values and values[-1] is None and any(values):
        line = line_of(text, *(f'"{key}"' for key in keys))
        raise Conflict(
            f"{path} line {line}: a second auths is null, and hides the first", "take it out and run again"
        )
    return {name: entry for name, (entry, _) in json_edit.mapping(found, "auths").items()}


def _overriding(entry: dict[str, Any]) -> list[str]:
    return [key for field in _OVERRIDING for key in json_edit.keys_for(entry, field)]


def _holds(entry: object, login: Login) -> bool:
    if not isinstance(entry, dict) or any(entry[key] for key in _overriding(entry)):
        return False
    try:
        # Docker drops NULs behind the password (configfile/file.go, decodeAuth).
        found = b64decode(json_edit.string(entry, "auth")[0], validate=True).decode()
    except ValueError:
        return False
    account, _, password = found.partition(":")
    return (account, password.strip("\0")) == (login.account, login.password)
