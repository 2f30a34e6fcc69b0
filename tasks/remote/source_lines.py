"""The lines of a text, and which of them a message is about."""

from __future__ import annotations

import re


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends, which are line feeds alone: Python's `splitlines` knows others."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def line_at(text: str, offset: int) -> int:
    """Return the number, from 1, of the line with the character at `offset`."""
    return text.count("\n", 0, offset) + 1


def line_of(text: str, *words: str | re.Pattern[str]) -> int:
    """Return the number, from 1, of the line on which the last of `words` begins.

    A word is text as it stands or a pattern. Each is searched behind the one before it, so that outer keys lead to an
    inner one. If one is not found, the line is that of the word before it, and 1 if there is none.
    """
    begin = end = 0
    for word in words:
        found = re.compile(re.escape(word) if isinstance(word, str) else word).search(text, end)
        if not found:
            break
        begin, end = found.span()
    return line_at(text, begin)
