"""Logins in a `config.json` (Docker's, and in the same form the kubelet's and Podman's), and in credential helpers.

The form is the one of docker/cli (`cli/config/configfile/file.go`). Where it names a helper for a registry, what
stands in `auths` is never looked at, not even if the helper knows nothing.
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
"""What a helper prints where it knows nothing of a registry (docker-credential-helpers, credentials/error.go)."""

_STRONGER = ("identitytoken", "registrytoken", "username", "password")
"""What an entry may hold that is taken instead of its `auth`."""


@dataclass(frozen=True)
class Login:
    """An account of the registry's with its password."""

    account: str
    password: str = field(repr=False)

    @property
    def auth(self) -> str:
        """Both as a `config.json` holds them."""
        return b64encode(f"{self.account}:{self.password}".encode()).decode()

    def for_helper(self, name: str) -> str:
        """Both as a helper is given them to keep, for a registry's name."""
        return json.dumps({"ServerURL": name, "Username": self.account, "Secret": self.password})


@dataclass(frozen=True)
class Helper:
    """A program that keeps logins, `docker-credential-NAME`; `where` is the file and line that name it."""

    name: str
    where: str

    @property
    def program(self) -> str:
        """The program's name."""
        return f"docker-credential-{self.name}"


@dataclass(frozen=True)
class HelperResponse:
    """What a helper answered when it was asked for a login: its exit code, and what it printed."""

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
    for name in outdated:
        entry = auths.get(name)
        kept = entry if isinstance(entry, dict) and not any(key in entry for key in _STRONGER) else {}
        auths[name] = {**kept, "auth": login.auth}
    return json_edit.render({**json_edit.read(text, path), "auths": auths}, like=text)


def missing(text: str, names: Iterable[str], path: str) -> list[str]:
    """Return those of `names` for which a `config.json` has no entry at all."""
    return [name for name in names if name not in _auths(text, path)]


def helper(text: str, name: str, path: str) -> Helper | None:
    """Return the helper that has the say for a registry's name, or None.

    A registry's own one is stronger than `credsStore`, and an empty one means the file itself.
    """
    found = json_edit.read(text, path)
    keys = ["credsStore"]
    chosen = found.get("credsStore")
    helpers = found.get("credHelpers")
    if isinstance(helpers, dict) and name in helpers:
        keys = ["credHelpers", name]
        chosen = helpers[name]
    if not isinstance(chosen, str) or not chosen:
        return None
    return Helper(chosen, f"{path} line {line_of(text, *(json.dumps(key) for key in keys))}")


def kept(told: HelperResponse | None, by: Helper, name: str, login: Login, user: str) -> bool:
    """Tell from a helper's answer whether it keeps this login; `Conflict` where it gave none that can be used."""
    program = by.program
    begin = f"{by.where} has {program} keep the logins of {user}"
    if told is None:
        raise Conflict(f"{begin}, which could not be asked", "write its name in plain letters and run again")
    if told.exit_code in (126, 127):
        raise Conflict(
            f"{begin}, which cannot be run there",
            f"install it for {user}, or take it out of that file, and run again",
        )
    if told.exit_code == 124:
        raise Conflict(
            f"{begin}, which gives no answer in 10 s", f"unlock it for {user}, or take it out of that file"
        )
    if told.exit_code != 0:
        if NOT_FOUND in told.output:
            return False
        raise Conflict(
            f"{begin}, which fails (exit code {told.exit_code})",
            f"see why (echo {name} | {program} get, as {user}), or take it out of that file, and run again",
        )
    try:
        answer = json.loads(told.output)
        return bool((answer["Username"], answer["Secret"]) == (login.account, login.password))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _auths(text: str, path: str) -> dict[str, Any]:
    auths = json_edit.read(text, path).get("auths")
    if auths is None:
        return {}
    if not isinstance(auths, dict):
        line = line_of(text, '"auths"')
        raise Conflict(
            f"{path} line {line}: auths is not an object", "correct it (Docker's own is {}) and run again"
        )
    return auths


def _holds(entry: object, login: Login) -> bool:
    if not isinstance(entry, dict) or any(entry.get(key) for key in _STRONGER):
        return False
    try:
        # Docker drops NULs behind the password (configfile/file.go, decodeAuth).
        found = b64decode(entry["auth"], validate=True).decode()
    except (KeyError, TypeError, ValueError):
        return False
    account, _, password = found.partition(":")
    return (account, password.strip("\0")) == (login.account, login.password)
