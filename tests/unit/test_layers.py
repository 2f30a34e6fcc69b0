"""Imports go downward only: each folder of `tasks/` imports from itself and from layers below its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tasks.run.context import ROOT

LAYERS = (
    ("problem", "verbs"),
    ("settings", "certificates"),
    ("remote",),
    ("accounts", "storage"),
    ("state",),
    ("run",),
    ("docker_engine", "timer"),
    ("registry",),
    ("clients", "backup", "collection"),
    ("metrics",),
    ("docker_hosts", "cluster_nodes", "cluster_control"),
    ("rotations", "room", "repair", "caches"),
    ("cli", "init", "workstation"),
)
"""Lowest layer first; the folders of one layer do not import each other."""

LAYER = {folder: number for number, layer in enumerate(LAYERS) for folder in layer}
MODULES = [path for path in sorted((ROOT / "tasks").rglob("*.py")) if path.name != "__init__.py"]


def folder(path: Path) -> str:
    """Return the folder of `tasks/` that contains a module, or the module's own name."""
    return path.relative_to(ROOT / "tasks").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the dotted names of everything that a module imports from `tasks`, anywhere in its source."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides its layer"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {f"{node.module}"}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("tasks.")}


def test_every_folder_has_its_layer() -> None:
    assert {folder(path) for path in MODULES} == set(LAYER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    here = folder(path)
    others = {name.split(".")[1] for name in imported(path)} - {here}
    assert {other for other in others if LAYER[other] >= LAYER[here]} == set()


def test_no_modules_import_each_other() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    needs = {name: imported(path) & set(names) for name, path in names.items()}
    while free := {name for name, needed in needs.items() if not needed}:
        needs = {name: needed - free for name, needed in needs.items() if name not in free}
    assert needs == {}


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").rglob("__init__.py")), ids=str)
def test_packages_hold_no_code(path: Path) -> None:
    assert path.read_text() == ""
