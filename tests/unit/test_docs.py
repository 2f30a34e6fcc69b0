"""The documentation and the settings agree, and every link in it has a target."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.settings.schema import HostSettings, RunWideKeys
from tests.settings_reference import ALL_PY, MEANINGS, TABLES, all_py, tables

ROOT = Path(__file__).parents[2]
HOW_TO_WRITE = "run .venv/bin/python -m tests.settings_reference"
DEFAULTS = {key: value for model in (RunWideKeys(), HostSettings()) for key, value in model}
ROW = re.compile(r"\| (.*) \| `(.*)` \| (.*) \|")


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def settings_table() -> dict[str, tuple[str, str]]:
    """Return (default as text, first column) by key."""
    rows = map(ROW.fullmatch, TABLES.read_text().splitlines())
    found = [(row[1], row[2]) for row in rows if row]
    return {
        key: (default, first) for first, default in found for key in re.findall("`(registry_[a-z_]+)`", first)
    }


def test_every_key_has_a_meaning_and_is_in_both_references() -> None:
    assert list(MEANINGS) == list(DEFAULTS)
    assert ALL_PY.read_text() == all_py(), HOW_TO_WRITE
    assert TABLES.read_text() == tables(TABLES.read_text()), HOW_TO_WRITE


def test_the_table_has_every_key_with_its_default() -> None:
    documented = {key: ast.literal_eval(default) for key, (default, _) in settings_table().items()}
    expected = {key: plain(value) for key, value in DEFAULTS.items()} | {"registry_state_dir": None}
    assert documented == expected


def test_the_table_marks_what_may_differ_between_hosts() -> None:
    marked = {key for key, (_, first) in settings_table().items() if first.endswith("*per host*")}
    assert marked == set(HostSettings.model_fields)


@pytest.mark.parametrize(
    "path",
    [str(path.relative_to(ROOT)) for pattern in ("*.md", "docs/*.md") for path in sorted(ROOT.glob(pattern))],
)
def test_links_have_targets(path: str) -> None:
    text = (ROOT / path).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / path).parent / target).exists(), f"{path}: {target}"
    for file, heading in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", text):
        lines = ((ROOT / path).parent / file if file else ROOT / path).read_text().splitlines()
        anchors = [
            re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
            for line in lines
            if line[:1] == "#"
        ]
        assert heading in anchors, f"{path}: {file}#{heading}"
