"""A YAML file that belongs to the user: read as programs in Go read it, and whole lines added and removed.

Go's `gopkg.in/yaml.v2` is a translation of libyaml, so libyaml parses here. It reads the first document only, and takes
duplicate keys and merge keys in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tasks.remote.steps import Conflict

# Where PyPI has no build with libyaml, Python's own scanner refuses some tabs.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BREAK = re.compile("[^\n\r\x85\u2028\u2029]*(?:\r\n|[\n\r\x85\u2028\u2029])|.+")
"""A line, and where the parser ends it (YAML 1.1, "b-char")."""

_BOM = "\ufeff"


@dataclass(frozen=True)
class Pair:
    """A key of a mapping with its value."""

    key: Node
    value: Node

    @property
    def line(self) -> int:
        """The key's line, from 1."""
        return int(self.key.start_mark.line) + 1


def read(text: str, path: str) -> MappingNode | None:
    """Return the mapping that a text is, None if it is empty; `Conflict` with the line if it is something else.

    `path` is the file that messages name.
    """
    try:
        found = compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # Of anchors, and not of values, which may be passwords.
        what = f": {error.problem}" if isinstance(error, ComposerError) else ""
        raise Conflict(f"{path} line {line} is not YAML{what}", "correct it and run again") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Conflict(f"{path} is not YAML", "correct it and run again") from None
    if found is None or is_null(found):
        return None
    if not isinstance(found, MappingNode):
        raise Conflict(f"{path} line 1 is YAML, but not a mapping", "correct it and run again")
    return found


def compose(text: str) -> Node | None:
    """Return the first document, None if there is none. Raises `yaml.YAMLError`, `ValueError`, `RecursionError`."""
    loader = _Loader(text.removeprefix(_BOM))
    try:
        node: Node | None = loader.get_node() if loader.check_node() else None
    finally:
        loader.dispose()
    return node


def members(nodes: Iterable[Node]) -> Iterator[Pair]:
    """Yield what mappings hold, those of a merge key among them, in the order in which Go sets them."""
    for node in nodes:
        for key, value in node.value if isinstance(node, MappingNode) else ():
            if str(key.tag).endswith(":merge"):
                merged = value.value[::-1] if isinstance(value, SequenceNode) else [value]
                yield from members(merged)
            else:
                yield Pair(key, value)


def pairs(nodes: Iterable[Node], key: str) -> list[Pair]:
    """Return all members of mappings with a key."""
    return [pair for pair in members(nodes) if pair.key.value == key]


def since_null(found: Sequence[Pair]) -> Sequence[Pair]:
    """Return the members that count for a mapping: a null makes Go forget those before it."""
    nulls = [number for number, pair in enumerate(found) if is_null(pair.value)]
    return found[nulls[-1] :] if nulls else found


def is_null(node: Node) -> bool:
    """Return whether a value is null, or not given."""
    return str(node.tag).endswith(":null")


def word(node: Node) -> str:
    """Return a scalar as it is written, without its quotes, "" for null."""
    if is_null(node):
        return ""
    return str(node.value) if isinstance(node, ScalarNode) else "a list or mapping"


def flat(nodes: Iterable[Node]) -> list[Any]:
    """Return what nodes say, to compare: each once, and its number where an alias repeats it."""
    found: list[Any] = []
    numbers: dict[int, int] = {}
    pending = [*nodes][::-1]
    while pending:
        node = pending.pop()
        if id(node) in numbers:
            found.append(numbers[id(node)])
            continue
        numbers[id(node)] = len(numbers)
        inner = (
            [each for pair in node.value for each in pair] if isinstance(node, MappingNode) else node.value
        )
        is_scalar = isinstance(node, ScalarNode)
        found.append((str(node.tag), str(node.value) if is_scalar else len(inner)))
        pending += [] if is_scalar else inner[::-1]
    return found


def insert(text: str, line: int, column: int, block: Sequence[str]) -> str:
    """Return the text with new lines above its line `line` (from 0), indented by `column`."""
    lines = _lines(text)
    line = min(line, len(lines))
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if line and not lines[line - 1].endswith(("\n", "\r")):
        lines[line - 1] += end
    lines[line:line] = [f"{' ' * column}{each}{end}" for each in block]
    return "".join(lines)


def insert_last(text: str, block: Sequence[str]) -> str:
    """Return the text with the lines of a new key at the end of its mapping. Raises `LookupError` if it is no block."""
    root = compose(text)
    if root is None:
        return insert(text, len(_lines(text)), 0, block)
    if is_null(root):
        at = root.end_mark
        return insert(text, at.line + bool(at.column), 0, block)
    if not isinstance(root, MappingNode) or root.flow_style:
        raise LookupError
    return insert(text, _last_line(root) + 1, root.value[0][0].start_mark.column, block)


def insert_below(text: str, parent: Pair, block: Sequence[str]) -> str:
    """Return the text with the lines of a new key right below `parent`. Raises `LookupError` if that is no block."""
    value, at = parent.value, parent.key.start_mark
    if isinstance(value, MappingNode) and value.value and not value.flow_style:
        first = value.value[0][0].start_mark
        if first.line > at.line:
            return insert(text, at.line + 1, first.column, block)
    elif (is_null(value) or value.value == []) and value.start_mark.line == at.line:
        # Nothing, or {}, which cannot stay before the lines below.
        return insert(set_value(text, value, ""), at.line + 1, at.column + 2, block)
    raise LookupError


def set_value(text: str, node: Node, value: str) -> str:
    """Return the text with other characters in the place of a value."""
    skipped = len(text) - len(text.removeprefix(_BOM))
    begin, end = node.start_mark.index + skipped, node.end_mark.index + skipped
    gap = " " if value and begin == end and text[begin - 1] not in " \t" else ""
    return text[:begin] + gap + value + text[end:]


def remove(text: str, pair: Pair) -> str:
    """Return the text without the lines of a key and its value. Raises `LookupError` if they hold
    something else."""
    lines, at = _lines(text), pair.key.start_mark
    if line_of(text, pair)[: at.column].removeprefix(_BOM).strip():
        raise LookupError
    del lines[at.line : _end_of(pair.key, pair.value) + 1]
    return "".join(lines)


def line_of(text: str, pair: Pair) -> str:
    """Return the line on which a key begins."""
    return _lines(text)[pair.line - 1]


def _lines(text: str) -> list[str]:
    return _BREAK.findall(text)


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
        written_here = node.start_mark.index <= last.start_mark.index < last.end_mark.index
        return _last_line(last) if written_here else int(node.end_mark.line) - 1
    end = node.end_mark
    return int(end.line) - (1 if end.column == 0 and end.line > node.start_mark.line else 0)
