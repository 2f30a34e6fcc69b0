"""How templates are rendered: all in the same way, whatever language they are in."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def environment(folder: str) -> Environment:
    """Return what renders the templates in a folder; a name that is not given a value is an error.

    They are YAML, shell, nginx's language and systemd's, not HTML, so that nothing is escaped by itself.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=select_autoescape(()),
    )
