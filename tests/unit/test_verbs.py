"""Make's verbs in messages: each can be pasted, and no message names a file of `deploys/` instead."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tasks.run.context import ROOT
from tasks.run.report import Report
from tasks.verbs import VERBS, with_inventory

LAB = "INVENTORY=inventories/lab.py"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("run make rotate-ca", f"run make rotate-ca {LAB}"),
        ("(make retire-ca), then make adopt, again", f"(make retire-ca {LAB}), then make adopt {LAB}, again"),
        ("make rotate-passwords ACCOUNT=a.b-c, now", f"make rotate-passwords ACCOUNT=a.b-c {LAB}, now"),
        (
            "make deploy DATA=registry_excused_hosts=a-1.b,c.",
            f"make deploy DATA=registry_excused_hosts=a-1.b,c {LAB}.",
        ),
        ("(make deploy DATA=a=b ACCOUNT=ci)", f"(make deploy DATA=a=b ACCOUNT=ci {LAB})"),
        ("make timer-off", f"make timer-off {LAB}"),
        ("make deploy INVENTORY=inventories/other.py", "make deploy INVENTORY=inventories/other.py"),
        ("make password ACCOUNT=ci INVENTORY=x.py", "make password ACCOUNT=ci INVENTORY=x.py"),
        ("make -C /srv/other timer-off", "make -C /srv/other timer-off"),
        ("make test, make a password, remake adopt", "make test, make a password, remake adopt"),
        ("make planned, make plan-b", "make planned, make plan-b"),
    ],
)
def test_a_verb_gets_the_inventory_unless_it_has_one(message: str, shown: str) -> None:
    assert with_inventory(message, "inventories/lab.py") == shown


def test_a_path_is_quoted_for_the_shell() -> None:
    assert with_inventory("run make deploy", "my lab.py") == "run make deploy INVENTORY='my lab.py'"


def test_what_a_run_reports_of_a_host_has_the_inventory() -> None:
    report = Report("inventories/lab.py")
    for _ in range(2):
        report.problem("nas", "make adopt first", "make rotate-ca")
        report.note("nas", "make revoke-passwords ends it")
    assert report.problems == {"nas": [(f"make adopt {LAB} first", f"make rotate-ca {LAB}")]}
    assert report.notes == {"nas": [f"make revoke-passwords {LAB} ends it"]}


def test_the_verbs_are_those_of_the_makefile() -> None:
    listed = re.search(r"^VERBS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed
    assert listed[1].replace("\\", "").split() == [*VERBS]


def test_no_message_names_a_file_of_deploys() -> None:
    files = [path for folder in ("tasks", "tests/verify") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name: text for path in files for text in messages(path) if re.search(r"deploys/\w", text)}
    assert found == {}


def messages(path: Path) -> list[str]:
    """Return the texts in a module, but for docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings
    ]
    return [node.value for node in constants if isinstance(node.value, str)]
