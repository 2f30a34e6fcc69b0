"""The one Jinja environment for templates of files, and the one way to fill values into shell scripts."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def environment(folder: str) -> Environment:
    """Return the environment that renders the templates in a folder; an undefined variable is an error.

    The templates are YAML, shell, and configuration of nginx and systemd, not HTML: nothing is escaped automatically.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=select_autoescape(()),
    )


def fill(script: str, **values: object) -> str:
    """Return a shell script with `@NAME@` replaced by each value. Shell has too many braces for Jinja or f-strings."""
    for name, value in values.items():
        script = script.replace(f"@{name}@", str(value))
    return script
