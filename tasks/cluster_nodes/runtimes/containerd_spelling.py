"""Spellings of containerd's `config.toml` that are TOML, and that containerd takes in a way of its own.

containerd 1.x reads it with go-toml 1, 2.x with go-toml 2. Both match the keys that they know in other cases too, which
ones depends on version and place (seen with `containerd config dump` of 1.6, 2.1 and 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.remote import toml_edit
from tasks.remote.steps import Conflict

TOP = frozenset({"version", "imports", "disabled_plugins", "plugins"})
PLUGIN = frozenset({"registry"})
REGISTRY = frozenset({"config_path", "mirrors", "configs"})


def check(path: str, text: str, says: Mapping[str, Any], version: tuple[int, int]) -> None:
    """Raise `Conflict`, with the line, if containerd does not read a text, or not as this project does.

    `says` is what the text says as TOML has it.
    """
    if version >= (2, 0) and text != toml_edit.without_bom(text):
        raise Conflict(
            f"{path} line 1 begins with a byte order mark, and containerd 2 reads no such file",
            f"take it out (sed -i '1s/^\\xEF\\xBB\\xBF//' {path}) and run again",
        )
    for keys in _other_case(says):
        line = toml_edit.line_of(text, keys)
        raise Conflict(
            f"{path} line {line} has {keys[-1]!r}, and containerd may read it as {keys[-1].lower()!r}",
            "write it in lower case, or take it out, and run again",
        )


def _other_case(says: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key that is a known one in another case."""
    yield from ((key,) for key in _odd(says, TOP))
    plugins = says.get("plugins")
    for name, section in plugins.items() if isinstance(plugins, dict) else ():
        yield from (("plugins", name, key) for key in _odd(section, PLUGIN))
        registry = toml_edit.value_at(section, "registry")
        yield from (("plugins", name, "registry", key) for key in _odd(registry, REGISTRY))


def _odd(table: Any, known: frozenset[str]) -> Iterator[str]:
    for key in table if isinstance(table, dict) else ():
        if key not in known and key.lower() in known:
            yield key
