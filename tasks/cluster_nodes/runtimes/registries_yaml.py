"""`registries.yaml` of K3s and RKE2: our entries under `configs`, in a file that belongs to the user.

The format is that of `github.com/rancher/wharfie/pkg/registries`. A parser finds the positions, whole lines are
inserted and removed there, and the result is parsed again. Every other byte stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tasks.accounts.logins import Login
from tasks.remote.steps import Conflict

MARK = "# homelab-registry"
"""Ends the line of an `auth` that is ours, and so may be removed."""

UNREADABLE = (YAMLError, ValueError, LookupError, AttributeError, TypeError, AssertionError, RecursionError)
"""What ruamel.yaml raises: its own errors, and Python's, for `!!bool maybe` or deep nesting."""

BY_HAND = "write it as a block, a line for each key, and run again"


def merge(text: str, endpoints: Iterable[str], ca_file: str, login: Login | None, path: str) -> str:
    """Return the text with an entry for each of `endpoints` that names the CA, and the login or none of ours.

    Raises `Conflict`, with the line, if the text is broken, contradicts the entry, or cannot be added to. `path` is the
    file that messages name.
    """
    try:
        for endpoint in endpoints:
            others = _others(read(text, path), endpoint)
            _check(text, endpoint, ca_file, path)
            text = _unless_others_changed(_with_ca(text, endpoint, ca_file, path), endpoint, others, path)
            text = _unless_others_changed(_with_login(text, endpoint, login, path), endpoint, others, path)
    except RecursionError:
        raise Conflict(f"{path} has an alias that contains itself", "correct it and run again") from None
    return text


def read(text: str, path: str) -> dict[str, Any]:
    """Return what a text says; `Conflict` with the line if it is not a YAML mapping."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        # The rest of the message may hold a password.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Conflict(f"{path} line {line} is not YAML", "correct it and run again") from None
    except UNREADABLE:
        raise Conflict(f"{path} is not YAML", "correct it and run again") from None
    if found is not None and not isinstance(found, dict):
        raise Conflict(f"{path} line 1 is YAML, but not a mapping", "correct it and run again")
    return found or {}


def auth_of(text: str, endpoint: str, path: str) -> tuple[str, str] | None:
    """Return the account and password for a registry, None if the text has none."""
    configs = read(text, path).get("configs") or {}
    entry = configs.get(endpoint) if isinstance(configs, dict) else None
    auth = entry.get("auth") if isinstance(entry, dict) else None
    if not isinstance(auth, dict):
        return None
    return str(auth.get("username", "")), str(auth.get("password", ""))


def _check(text: str, endpoint: str, ca_file: str, path: str) -> None:
    """Raise `Conflict` if the user's own lines about our registry contradict our entry."""
    for name in (endpoint, f"https://{endpoint}", f"http://{endpoint}"):
        if mirror := _find(text, ("mirrors", name)):
            raise Conflict(
                f"{path} line {_line(mirror.key)} has a mirror for our registry, which could hand out private images "
                "without a login",
                "remove it and run again",
            )
    entry = ("configs", endpoint, "tls")
    insecure, named = _find(text, (*entry, "insecure_skip_verify")), _find(text, (*entry, "ca_file"))
    if insecure and _word(insecure.value).lower() not in {"false", ""}:
        raise Conflict(
            f"{path} line {_line(insecure.key)} switches the check of our certificate off (insecure_skip_verify)",
            "remove that line and run again",
        )
    if named and _word(named.value) not in {ca_file, ""}:
        raise Conflict(
            f"{path} line {_line(named.key)} names another CA for our registry: {_word(named.value)!r}",
            "remove that line and run again",
        )


def _with_ca(text: str, endpoint: str, ca_file: str, path: str) -> str:
    keys = ("configs", endpoint, "tls", "ca_file")
    named = _find(text, keys)
    if named and _word(named.value) == ca_file:
        return text
    return _put(_remove(text, named, path), keys[:-1], [f"ca_file: {ca_file}"], path)


def _with_login(text: str, endpoint: str, login: Login | None, path: str) -> str:
    keys = ("configs", endpoint, "auth")
    present = _find(text, keys)
    if login and auth_of(text, endpoint, path) == (login.account, login.password):
        return text
    if present and not _lines(text)[_line(present.key) - 1].rstrip().endswith(MARK):
        if login is None:
            return text
        raise Conflict(
            f"{path} line {_line(present.key)} has a login of its own for our registry",
            "remove it, or set registry_node_login = False for this host, and run again",
        )
    text = _remove(text, present, path)
    if login is None:
        return text
    # JSON's strings are YAML's double-quoted ones, whatever a password holds.
    account, password = (json.dumps(word, ensure_ascii=False) for word in (login.account, login.password))
    return _put(text, keys[:-1], [f"auth: {MARK}", f"  username: {account}", f"  password: {password}"], path)


def _others(says: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """Return all that a text says, except the entry of one registry."""
    configs = says.get("configs")
    kept = (
        {key: value for key, value in configs.items() if key != endpoint} if isinstance(configs, dict) else {}
    )
    return {**says, "configs": kept}


def _unless_others_changed(text: str, endpoint: str, others: Mapping[str, Any], path: str) -> str:
    """Return the changed text; `Conflict` if what it says of other registries has changed."""
    conflict = Conflict(f"{path} is written in a way that this project cannot add to", BY_HAND)
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except UNREADABLE:
        raise conflict from None
    if _others(found or {}, endpoint) != others:
        raise conflict
    return text


def _put(text: str, parents: Sequence[str], block: Sequence[str], path: str) -> str:
    """Return the text with the lines of a new key right below `parents`, which are added if they are missing."""
    existing = 0
    while existing < len(parents) and _find(text, parents[: existing + 1]):
        existing += 1
    for parent in reversed(parents[existing:]):
        name = parent if parent.isalnum() else json.dumps(parent)
        block = [f"{name}:", *(f"  {line}" for line in block)]
    if existing:
        return _put_below(text, parents[:existing], block, path)
    root = _compose(text)
    if root is None:
        return _insert(text, len(_lines(text)), 0, block)
    if root.flow_style:
        raise Conflict(f"{path} line {_line(root)} is written in one line", BY_HAND)
    return _insert(text, _last_line(root) + 1, root.start_mark.column, block)


def _put_below(text: str, keys: Sequence[str], block: Sequence[str], path: str) -> str:
    pair = _find(text, keys)
    if pair is None:
        raise LookupError(keys)
    value, at = pair.value, pair.key.start_mark
    if (
        isinstance(value, MappingNode)
        and value.value
        and not value.flow_style
        and value.start_mark.line > at.line
    ):
        return _insert(text, at.line + 1, value.start_mark.column, block)
    begin, end = value.start_mark.index, value.end_mark.index
    if value.value in ([], "", "~", "null") and (begin == end or value.start_mark.line == at.line):
        # Nothing, or {}, which cannot stay before the lines below.
        return _insert(text[:begin] + text[end:], at.line + 1, at.column + 2, block)
    raise Conflict(f"{path} line {_line(pair.key)} is written in one line, or somewhere else", BY_HAND)


def _remove(text: str, pair: _Pair | None, path: str) -> str:
    """Return the text without the lines of a key and its value."""
    if pair is None:
        return text
    lines = _lines(text)
    at = pair.key.start_mark
    if lines[at.line][: at.column].strip():
        raise Conflict(f"{path} line {_line(pair.key)} is written in one line", BY_HAND)
    del lines[at.line : _end_of(pair.key, pair.value) + 1]
    return "".join(lines)


def _insert(text: str, line: int, column: int, block: Iterable[str]) -> str:
    lines = _lines(text)
    line = min(line, len(lines))
    if line and not lines[line - 1].endswith("\n"):
        lines[line - 1] += "\n"
    lines[line:line] = [f"{' ' * column}{each}\n" for each in block]
    return "".join(lines)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


@dataclass(frozen=True)
class _Pair:
    key: Node
    value: Node


def _compose(text: str) -> MappingNode | None:
    found = YAML(typ="safe", pure=True).compose(text)
    return found if isinstance(found, MappingNode) else None


def _find(text: str, keys: Sequence[str]) -> _Pair | None:
    """Return the key at the path `keys` with its value, None if there is none."""
    node: Node | None = _compose(text)
    pair = None
    for key in keys:
        pairs = node.value if isinstance(node, MappingNode) else []
        pair = next((_Pair(name, value) for name, value in pairs if name.value == key), None)
        if pair is None:
            return None
        node = pair.value
    return pair


def _word(node: Node) -> str:
    """Return a plain value as it is written, "" for null."""
    if str(node.tag).endswith(":null"):
        return ""
    return str(node.value) if isinstance(node, ScalarNode) else "a list or mapping"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _end_of(key: Node, value: Node) -> int:
    """Return the last line (from 0) of a key with its value. An empty value and an alias have no position."""
    if value.start_mark.index == value.end_mark.index:
        return int(key.start_mark.line)
    return max(int(key.start_mark.line), _last_line(value))


def _last_line(node: Node) -> int:
    """Return the last line (from 0) of a value. The parser's end mark is behind the comments that follow."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end_of(*node.value[-1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return (
            _last_line(last) if last.start_mark.index < last.end_mark.index else int(node.end_mark.line) - 1
        )
    end = node.end_mark
    return int(end.line) - (1 if end.column == 0 and end.line > node.start_mark.line else 0)
