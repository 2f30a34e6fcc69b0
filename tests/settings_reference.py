"""Generate the settings reference: `inventories/group_data/all.py` and the tables in `docs/settings.md`.

The source is `tasks/settings/schema.py`; `.venv/bin/python -m tests.settings_reference` writes both files.
"""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.settings.schema import HostSettings, RunWideKeys

ROOT = Path(__file__).parents[1]
ALL_PY = ROOT / "inventories/group_data/all.py"
TABLES = ROOT / "docs/settings.md"

HEADER = '''\
"""Every setting, its default and its meaning.

Change nothing here: put what is different for one inventory into the file of its name beside this one. A host's own
data (`("nas", {...})` in the inventory) and `--data KEY=VALUE` override that. Plain Python literals only.
"""
'''
PER_HOST = "# Per host: a host's own data may set these differently."


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of each key of a model: the string below it in the source."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        ast.unparse(key.target): inspect.cleandoc(ast.literal_eval(text.value))
        for key, text in pairwise(definition.body)
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


MEANINGS = meanings(RunWideKeys) | meanings(HostSettings)


def default(key: str) -> str:
    """Return a key's default in the syntax of an inventory."""
    model = HostSettings if key in HostSettings.model_fields else RunWideKeys
    # The default of registry_state_dir depends on the inventory's name.
    value: Any = None if key == "registry_state_dir" else model.model_fields[key].default
    return repr(list(value) if isinstance(value, tuple) else value).replace("'", '"')


def all_py() -> str:
    """Return the whole text of `all.py`."""
    blocks = [HEADER]
    for key, meaning in MEANINGS.items():
        if key == next(iter(HostSettings.model_fields)):
            blocks.append(f"{PER_HOST}\n")
        comment = "".join(f"# {line}\n" for line in meaning.splitlines())
        line = f"{key} = {default(key)}"
        if len(line) > 110:  # as ruff wraps a list
            line = re.sub(r"\[(.*)\]", lambda m: "[\n    " + m[1].replace(", ", ",\n    ") + ",\n]", line)
        blocks.append(f"{comment}{line}\n")
    return "\n".join(blocks)


def tables(text: str) -> str:
    """Return the text of `docs/settings.md` with each key's row updated from the schema; the order of rows stays."""
    return re.sub(r"^\| `(registry_[a-z_]+)`.*$", lambda row: _row(row[1]), text, flags=re.MULTILINE)


def _row(key: str) -> str:
    per_host = " *per host*" if key in HostSettings.model_fields else ""
    return f"| `{key}`{per_host} | `{default(key)}` | {' '.join(MEANINGS[key].splitlines())} |"


if __name__ == "__main__":
    ALL_PY.write_text(all_py())
    TABLES.write_text(tables(TABLES.read_text()))
