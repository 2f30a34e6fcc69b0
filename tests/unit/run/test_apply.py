"""What is said of an error that nobody foresaw: our own line, however deep it came from, and never its text."""

from __future__ import annotations

import json

import pytest

from tasks.remote import files
from tasks.run import apply
from tasks.run.context import ROOT


def test_an_unexpected_error_names_our_last_line_and_keeps_its_text() -> None:
    source = (ROOT / "tasks/remote/files.py").read_text().splitlines()
    (line,) = [number for number, text in enumerate(source, 1) if "_place(item, observed[item.path])" in text]
    with pytest.raises(KeyError) as raised:
        files.place([files.Folder("/secret")], {})
    assert apply._unexpected(raised.value) == f"unexpected KeyError at tasks/remote/files.py:{line}"


def test_an_error_of_a_library_names_the_line_that_called_it() -> None:
    def decide() -> None:
        json.loads("secret")

    namespace = {"decide": decide}
    code = compile("\n\ndecide()", str(ROOT / "tasks/registry/plan.py"), "exec")
    with pytest.raises(ValueError, match="Expecting value") as raised:
        exec(code, namespace)  # noqa: S102 - a frame that says it is of that file
    assert apply._unexpected(raised.value) == "unexpected JSONDecodeError at tasks/registry/plan.py:3"
