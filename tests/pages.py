"""The commands that README.md, SECURITY.md and docs/ have: lines to paste, fences with a language, and commands in the text.

A test that runs a command takes it from its page, by `line`, `block` or `in_text` with literal arguments. By these calls
tests/unit/test_pages.py knows which commands are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))
MARK = "(not tried)"
"""Stands behind a command in the text, and in the paragraph before a block, if no test runs it."""

BLOCK = re.compile(
    r"^```(?P<language>\w*)\n(?P<fenced>.*?)^```$|(?P<indented>(?:^ {4,}\S[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
IN_TEXT = re.compile(rf"`([^`]+)`(\s{re.escape(MARK)})?")
FIRST_CELL = re.compile(r"^\|[^|]*\|", re.MULTILINE)
"""Of a table in docs/: what is said or set, and no command."""


@dataclass(frozen=True)
class Block:
    """Commands that are pasted together; a fence is one."""

    commands: tuple[str, ...]
    marked: bool

    @property
    def text(self) -> str:
        return "\n".join(self.commands)


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page (a path in the project)."""
    text = (ROOT / page).read_text()
    for found in BLOCK.finditer(text):
        marked = MARK in text[: found.start()].rstrip().rpartition("\n\n")[2]
        if found["indented"]:
            lines = found["indented"].splitlines()
            yield Block(tuple(re.sub(r" +# .*", "", line).strip() for line in lines), marked)
        elif found["language"]:
            yield Block((found["fenced"],), marked)


def commands_in_text(page: str) -> Iterator[Block]:
    """Yield what is in backticks in the text of a page and has several words, the first of which may be a program."""
    text = BLOCK.sub("", (ROOT / page).read_text())
    text = FIRST_CELL.sub("|", text) if page.startswith("docs/") else text
    for code, marked in IN_TEXT.findall(text):
        words = " ".join(code.split())
        if re.match(r"[a-z.][\w./-]* (?!= )", words):
            yield Block((words,), bool(marked))


def everywhere() -> Iterator[tuple[str, Block]]:
    """Yield all commands of all pages, with their page."""
    for page in PAGES:
        for each in (*blocks(page), *commands_in_text(page)):
            yield page, each


def same(command: str) -> str:
    """Return a command without what is different for each reader: the inventory, the account."""
    return re.sub(r"ACCOUNT=\w+", "ACCOUNT=ci", re.sub(r" INVENTORY=\S+", "", command))


def block(page: str, beginning: str) -> str:
    """Return the page's one block with this beginning, as a script."""
    (found,) = {each.text for each in blocks(page) if each.text.startswith(beginning)}
    return found


def line(page: str, beginning: str) -> str:
    """Return the page's one line to paste with this beginning, without the comment behind it."""
    lines = {line for each in blocks(page) for line in each.commands}
    (found,) = [line for line in lines if line.startswith(beginning)]
    return found


def in_text(page: str, beginning: str) -> str:
    """Return the one command in the page's text with this beginning, or the one that is this."""
    texts = {each.text for each in commands_in_text(page)}
    (found,) = texts & {beginning} or {text for text in texts if text.startswith(beginning)}
    return found
