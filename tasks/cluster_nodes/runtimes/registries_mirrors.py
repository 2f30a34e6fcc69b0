"""`registries.yaml` of K3s and RKE2: the caches as mirrors, in a file that belongs to the user.

There is no `rewrite`, with which the fallback to the registry itself would not work (k3s#7007). Each key of ours has a
mark on its line, so that it goes when its cache does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from tasks.clients import mirrors
from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.runtimes import registries_yaml
from tasks.cluster_nodes.runtimes.registries_yaml import BY_HAND, by_line, find, put
from tasks.remote import yaml_edit
from tasks.remote.steps import Conflict
from tasks.remote.yaml_edit import Pair

MARK = "# homelab-registry cache"
"""Ends the line of a key that is ours."""

ANY = "*"
"""The mirror of every registry without one of its own (docs.k3s.io/installation/private-registry)."""

SECTIONS = ("mirrors", "configs")

Keys = tuple[str, str]
"""A section and a registry in it."""


def merge(text: str, used: Mirror | None, ca_file: str, path: str) -> str:
    """Return the text with the caches as mirrors, and without those that an earlier run wrote and are not used now.

    Raises `Conflict`, with the line, if the user's own mirrors contradict them, or the text cannot be added to.
    """
    blocks = _blocks(used, ca_file) if used else {}
    try:
        changed = _without_others(text, blocks, path)
        if used:
            _check(changed, used, blocks, ca_file, path)
        for (section, name), block in blocks.items():
            if not find(yaml_edit.read(changed, path), (section, name)):
                changed = _added(changed, section, block, path)
    except RecursionError:
        raise Conflict(f"{path} has a merge key that contains itself", "correct it and run again") from None
    return changed if changed == text else _verified(text, changed, blocks, path)


def names(text: str, path: str) -> list[str]:
    """Return the registries that a text has mirrors of."""
    return [str(pair.key.value) for pair in _entries(yaml_edit.read(text, path), "mirrors")]


def endpoints(text: str, name: str, path: str) -> list[str]:
    """Return where the mirrors of a registry are, in the order in which they are asked."""
    found = find(yaml_edit.read(text, path), ("mirrors", name, "endpoint"))
    values = found[-1].value.value if found and isinstance(found[-1].value, SequenceNode) else []
    return [yaml_edit.word(each) for each in values]


def _blocks(used: Mirror, ca_file: str) -> dict[Keys, list[str]]:
    """Return the lines of each key that is ours, the CA's first: what names the mirror comes after it."""
    blocks: dict[Keys, list[str]] = {
        ("configs", used.endpoint): [
            f"{json.dumps(used.endpoint)}: {MARK}", "  tls:", f"    ca_file: {ca_file}",
        ]
    }  # fmt: skip
    for name in used.names:
        blocks["mirrors", name] = [
            f"{json.dumps(name)}: {MARK}",
            "  endpoint:",
            f"    - {json.dumps(used.url)}",
        ]
    return blocks


def _without_others(text: str, blocks: Mapping[Keys, Sequence[str]], path: str) -> str:
    """Return the text without keys of ours that are not as they should be, nor a section that was ours alone."""
    while gone := next(_unwanted(text, blocks, path), None):
        text = by_line(path, gone, partial(yaml_edit.remove, text, gone))
    return text


def _unwanted(text: str, blocks: Mapping[Keys, Sequence[str]], path: str) -> Iterator[Pair]:
    root = yaml_edit.read(text, path)
    for section in SECTIONS:
        for pair in _entries(root, section):
            block = blocks.get((section, str(pair.key.value)))
            if _is_marked(text, pair) and not (block and _says(block) == yaml_edit.flat([pair.value])):
                yield pair
    for pair in root.value if root else ():
        made = Pair(*pair)
        if yaml_edit.is_null(made.value) and _is_marked(text, made):
            yield made


def _check(text: str, used: Mirror, blocks: Mapping[Keys, Sequence[str]], ca_file: str, path: str) -> None:
    """Raise `Conflict` if the user's own lines say where an upstream's images come from, or how to reach the caches."""
    root = yaml_edit.read(text, path)
    registries_yaml.check(root, used.endpoint, [used.endpoint], ca_file, path)
    for keys in blocks:
        theirs = [pair for pair in find(root, keys) if not _is_marked(text, pair)]
        if theirs and keys[0] == "configs":
            raise Conflict(
                f"{path} line {theirs[-1].line} has an entry for {keys[1]}", "remove it and run again"
            )
    for each in used.upstreams:
        for name in (each.name, ANY):
            theirs = [pair for pair in find(root, ("mirrors", name)) if not _is_marked(text, pair)]
            # Without an endpoint it is for the registry that all nodes share, which a mirror of ours leaves in place.
            if theirs and (name != ANY or find(root, ("mirrors", name, "endpoint"))):
                raise Conflict(
                    f"{path} line {theirs[-1].line} has a mirror for {name}, "
                    f"which a cache of {each.name} would replace",
                    mirrors.remedy(each),
                )


def _added(text: str, section: str, block: Sequence[str], path: str) -> str:
    """Return the text with a key of ours in a section. A section that is missing gets the mark too, to go with it."""
    if find(yaml_edit.read(text, path), (section,)):
        return put(text, (section,), block, path)
    return put(text, (), [f"{section}: {MARK}", *(f"  {line}" for line in block)], path)


def _verified(before: str, after: str, blocks: Mapping[Keys, Sequence[str]], path: str) -> str:
    """Return the changed text; `Conflict` if it says anything but what it said before, and our entries."""
    try:
        new = yaml_edit.compose(after)
        if _others(after, new, blocks) == _others(before, yaml_edit.compose(before), blocks) and all(
            yaml_edit.flat(pair.value for pair in find(new, keys)) == _says(block)
            for keys, block in blocks.items()
        ):
            return after
    except (yaml.YAMLError, ValueError):
        pass
    found = find(yaml_edit.read(before, path), ("mirrors",))
    line = found[-1].line if found else 1
    raise Conflict(f"{path} line {line} is written in a way that this project cannot add to", BY_HAND)


def _others(text: str, root: Node | None, blocks: Mapping[Keys, Sequence[str]]) -> list[Any]:
    """Return all that a text says except our entries, to compare."""
    members = root.value if isinstance(root, MappingNode) else []
    others: list[list[Any]] = [
        [node for pair in members if pair[0].value not in SECTIONS for node in pair],
    ]
    for section in SECTIONS:
        theirs = [
            pair
            for pair in _entries(root, section)
            if (section, str(pair.key.value)) not in blocks and not _is_marked(text, pair)
        ]
        others.append([node for pair in theirs for node in (pair.key, pair.value)])
    return [yaml_edit.flat(nodes) for nodes in others]


def _entries(root: Node | None, section: str) -> list[Pair]:
    sections = yaml_edit.since_null(find(root, (section,)))
    return list(yaml_edit.members(pair.value for pair in sections))


def _is_marked(text: str, pair: Pair) -> bool:
    return yaml_edit.line_of(text, pair).rstrip().endswith(MARK)


def _says(block: Sequence[str]) -> list[Any]:
    """Return what the value of a block says, to compare."""
    root = yaml_edit.compose("\n".join(block))
    return yaml_edit.flat(pair[1] for pair in root.value) if root else []
