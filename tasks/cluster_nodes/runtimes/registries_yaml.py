"""`registries.yaml` of K3s and RKE2: our entries under `configs`, in a file that belongs to the user.

The format is that of `github.com/rancher/wharfie/pkg/registries`. A parser finds the positions, whole lines are
inserted and removed there, and the result is parsed again. Every other byte stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from tasks.accounts.logins import Login
from tasks.remote import yaml_edit
from tasks.remote.steps import Conflict
from tasks.remote.yaml_edit import Pair

MARK = "# homelab-registry"
"""Ends the line of an `auth` that is ours, and so may be removed."""

BY_HAND = "write it as a block, a line for each key, and run again"

FALSE = frozenset({"", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
"""What Go's yaml.v2 takes for false (resolve.go), and nothing."""

FIELDS = {
    "tls": ("ca_file", "cert_file", "key_file", "insecure_skip_verify"),
    "auth": ("username", "password", "auth", "identity_token"),
}
"""The fields of a registry's entry (wharfie, `types.go`)."""


def merge(text: str, endpoints: Collection[str], ca_file: str, login: Login | None, path: str) -> str:
    """Return the text with an entry for each of `endpoints` that names the CA, and the login or none of ours.

    Raises `Conflict`, with the line, if the text is broken, contradicts the entry, or cannot be added to. `path` is the
    file that messages name.
    """
    try:
        for endpoint in endpoints:
            check(yaml_edit.read(text, path), endpoint, endpoints, ca_file, path)
            text = _with_ca(text, endpoint, ca_file, path)
            text = _with_login(text, endpoint, login, path)
    except RecursionError:
        raise Conflict(f"{path} has a merge key that contains itself", "correct it and run again") from None
    return text


def ca_of(text: str, endpoint: str, path: str) -> str:
    """Return the CA that a text names for a registry, "" if it names none or has no certificate checked."""
    root = yaml_edit.read(text, path)
    entry = ("configs", endpoint, "tls")
    checked = word(find(root, (*entry, "insecure_skip_verify"))) in FALSE
    return word(find(root, (*entry, "ca_file"))) if checked else ""


def auth_of(text: str, endpoint: str, path: str) -> tuple[str, str] | None:
    """Return the account and password for a registry, None if the text has none."""
    auth = _entry(yaml_edit.read(text, path), endpoint)["auth"]
    return None if auth is None else (auth["username"], auth["password"])


def check(root: Node | None, endpoint: str, endpoints: Collection[str], ca_file: str, path: str) -> None:
    """Raise `Conflict` if the user's own lines about `endpoint`, one of our `endpoints`, contradict our entry."""
    for name in (endpoint, f"https://{endpoint}", f"http://{endpoint}"):
        mirror = find(root, ("mirrors", name))
        if mirror and not _leads_to(find(root, ("mirrors", name, "endpoint")), endpoints):
            raise Conflict(
                f"{path} line {mirror[-1].line} has a mirror for our registry, which could hand out private images "
                "without a login",
                "remove it and run again",
            )
    entry = ("configs", endpoint, "tls")
    insecure, named = find(root, (*entry, "insecure_skip_verify")), find(root, (*entry, "ca_file"))
    if word(insecure) not in FALSE:
        raise Conflict(
            f"{path} line {insecure[-1].line} switches the check of our certificate off (insecure_skip_verify)",
            "remove that line and run again",
        )
    if word(named) not in {ca_file, ""}:
        raise Conflict(
            f"{path} line {named[-1].line} names another CA for our registry: {word(named)!r}",
            "remove that line and run again",
        )


def _leads_to(mirror: Sequence[Pair], endpoints: Collection[str]) -> bool:
    """Return whether a mirror has endpoints, and all are our registry by https.

    Without one it is for the registry of K3s that all nodes share (docs.k3s.io/installation/registry-mirror).
    """
    nodes = mirror[-1].value.value if mirror and isinstance(mirror[-1].value, SequenceNode) else []
    # https is the default (k3s: `normalizeEndpointAddress`).
    urls = [
        re.fullmatch(r"(?:https://)?([^/]+?)(?::443)?(?:/|/v2/?)?", yaml_edit.word(node)) for node in nodes
    ]
    return bool(urls) and all(url and url[1] in endpoints for url in urls)


def _with_ca(text: str, endpoint: str, ca_file: str, path: str) -> str:
    keys = ("configs", endpoint, "tls", "ca_file")
    root = yaml_edit.read(text, path)
    named = find(root, keys)
    if word(named) == ca_file:
        return text
    tls = {**(_entry(root, endpoint)["tls"] or dict.fromkeys(FIELDS["tls"], "")), "ca_file": ca_file}
    changed = (
        yaml_edit.set_value(text, named[-1].value, ca_file) if named
        else put(text, keys[:-1], [f"ca_file: {ca_file}"], path)
    )  # fmt: skip
    return _verified(text, changed, endpoint, {"tls": tls}, path)


def _with_login(text: str, endpoint: str, login: Login | None, path: str) -> str:
    keys = ("configs", endpoint, "auth")
    present = find(yaml_edit.read(text, path), keys)
    if login and auth_of(text, endpoint, path) == (login.account, login.password):
        return text
    changed = text
    if present:
        last = present[-1]
        if not yaml_edit.line_of(text, last).rstrip().endswith(MARK):
            if login is None:
                return text
            raise Conflict(
                f"{path} line {last.line} has a login of its own for our registry",
                "remove it, or set registry_node_login = False for this host, and run again",
            )
        changed = by_line(path, last, lambda: yaml_edit.remove(text, last))
    if login is None:
        return _verified(text, changed, endpoint, {"auth": None}, path)
    # JSON's strings are YAML's double-quoted ones, whatever a password holds.
    account, password = (json.dumps(word, ensure_ascii=False) for word in (login.account, login.password))
    block = [f"auth: {MARK}", f"  username: {account}", f"  password: {password}"]
    auth = {**dict.fromkeys(FIELDS["auth"], ""), "username": login.account, "password": login.password}
    return _verified(text, put(changed, keys[:-1], block, path), endpoint, {"auth": auth}, path)


def put(text: str, parents: Sequence[str], block: Sequence[str], path: str) -> str:
    """Return the text with the lines of a new key right below `parents`, which are added if they are missing."""
    root = yaml_edit.read(text, path)
    found = [pairs[-1] for depth in range(len(parents)) if (pairs := find(root, parents[: depth + 1]))]
    for parent in reversed(parents[len(found) :]):
        name = parent if parent.isalnum() else json.dumps(parent)
        block = [f"{name}:", *(f"  {line}" for line in block)]
    if found:
        return by_line(path, found[-1], lambda: yaml_edit.insert_below(text, found[-1], block))
    return by_line(path, None, lambda: yaml_edit.insert_last(text, block))


def by_line(path: str, pair: Pair | None, edit: Callable[[], str]) -> str:
    """Return the edited text; `Conflict` with the pair's line if it is not written in lines of its own."""
    try:
        return edit()
    except LookupError:
        line, where = (pair.line, ", or somewhere else") if pair else (1, "")
        raise Conflict(f"{path} line {line} is written in one line{where}", BY_HAND) from None


def _verified(before: str, after: str, endpoint: str, wanted: Mapping[str, Any], path: str) -> str:
    """Return the changed text; `Conflict` if it says anything but what it said before, and `wanted` in our entry."""
    old = yaml_edit.read(before, path)
    try:
        new = yaml_edit.compose(after)
        if _others(new, endpoint) == _others(old, endpoint) and _entry(new, endpoint) == {
            **_entry(old, endpoint),
            **wanted,
        }:
            return after
    except (yaml.YAMLError, ValueError):
        pass
    configs = find(old, ("configs", endpoint)) or find(old, ("configs",))
    line = configs[-1].line if configs else 1
    raise Conflict(f"{path} line {line} is written in a way that this project cannot add to", BY_HAND)


def _others(root: Node | None, endpoint: str) -> list[Any]:
    """Return all that a text says, except the entry of one registry, to compare."""
    members = root.value if isinstance(root, MappingNode) else []
    configs = [
        pair.value
        for pair in yaml_edit.since_null(find(root, ("configs",)))
        if isinstance(pair.value, MappingNode)
    ]
    entries = [pair for each in configs for pair in each.value if pair[0].value != endpoint]
    others = [pair for pair in members if pair[0].value != "configs"]
    return [yaml_edit.flat(node for pair in pairs for node in pair) for pairs in (others, entries)]


def _entry(root: Node | None, endpoint: str) -> dict[str, dict[str, str] | None]:
    """Return what K3s reads of a registry's entry."""
    found: dict[str, dict[str, str] | None] = {}
    for section, fields in FIELDS.items():
        keys = ("configs", endpoint, section)
        pairs = find(root, keys)
        known = pairs and not yaml_edit.is_null(pairs[-1].value)
        found[section] = {field: word(find(root, (*keys, field))) for field in fields} if known else None
    return found


def find(root: Node | None, keys: Sequence[str]) -> Sequence[Pair]:
    """Return the members at the path `keys`: for duplicate and merge keys several, in the order in which Go sets them.

    Those under an entry's name replace each other, all others add up (yaml.v2, `decode.go`).
    """
    nodes: Sequence[Node] = [root] if root else []
    found: Sequence[Pair] = []
    for depth, key in enumerate(keys):
        found = yaml_edit.pairs(nodes, key)
        found = found[-1:] if depth == 1 else found
        if depth < len(keys) - 1:
            found = yaml_edit.since_null(found)
        nodes = [pair.value for pair in found]
    return found


def word(found: Sequence[Pair]) -> str:
    """Return the scalar that counts, as it is written, "" if there is none."""
    words = [yaml_edit.word(pair.value) for pair in found]
    return next((word for word in reversed(words) if word), "")
