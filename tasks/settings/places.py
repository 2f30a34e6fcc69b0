"""Where in the user's own files something is written, for messages."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.settings.redact import safe_name


def host_place(inventory: str, name: str) -> str:
    """Return the file and line of a host in an inventory; the file alone if its name is not written there."""
    return _place(inventory, dict(_host_lines(_parse(Path(inventory)), name)).get(""))


def assignment_place(inventory: str, variable: str) -> str:
    """Return the file and line where an inventory gives a name its value."""
    lines = [
        node.lineno
        for node in ast.walk(_parse(Path(inventory)))
        if isinstance(node, ast.Name) and node.id == variable and isinstance(node.ctx, ast.Store)
    ]
    return _place(inventory, max(lines, default=None))


def key_place(inventory: str, name: str, groups: Iterable[str], key: str) -> str:
    """Return the file and line that set a host's `key`: in its own data, or in the group data of one of its groups."""
    own = dict(_host_lines(_parse(Path(inventory)), name))
    if key in own:
        return _place(inventory, own[key])
    stem = Path(inventory).name.rsplit(".", 1)[0]
    for group in [*groups, stem, "all"]:
        file = Path(inventory).parent / "group_data" / f"{group}.py"
        if (place := assignment_place(str(file), key)) != safe_name(str(file)):
            return place
    return _place(inventory, own.get(""))


def joined_names(inventory: str, name: str) -> list[str]:
    """Return the texts that Python joins to `name` because no comma is between them, or an empty list."""
    text = _read(Path(inventory))
    for node in ast.walk(_parse(Path(inventory))):
        if isinstance(node, ast.Constant) and node.value == name:
            parts = _literals(ast.get_source_segment(text, node) or "")
            if len(parts) > 1:
                return parts
    return []


def _literals(source: str) -> list[str]:
    """Return the values of the string literals that stand one after the other in an expression."""
    tokens = tokenize.generate_tokens(io.StringIO(f"({source})").readline)
    return [str(ast.literal_eval(token.string)) for token in tokens if token.type == tokenize.STRING]


def _host_lines(tree: ast.AST, name: str) -> Iterator[tuple[str, int]]:
    """Yield ("", line) for each mention of a host, and (key, line) for its data; the last of a key counts.

    A host that is written several times has its data at one place, so that place comes last.
    """
    mentions = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == name
    ]
    for line in sorted(mentions, reverse=True):
        yield "", line
    for node in ast.walk(tree):
        match node:
            case ast.Tuple(elts=[ast.Constant(value=value), ast.Dict(keys=keys)]) if value == name:
                yield "", node.lineno
                for key in keys:
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, key.lineno


def _parse(file: Path) -> ast.AST:
    try:
        return ast.parse(_read(file))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _place(file: str, line: int | None) -> str:
    return safe_name(file) + (f" line {line}" if line else "")
