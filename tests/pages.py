"""The lines to paste in README.md and docs/: indented ones outside of fences."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def to_paste(page: str, heading: str = "") -> list[str]:
    """Return the lines to paste of a page (a path in the project), or those below one of its second-level headings."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    if heading:
        _, found, text = text.partition(f"\n## {heading}\n")
        assert found, f"{page} has no heading {heading!r}"
        text = text.partition("\n## ")[0]
    lines: list[str] = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)
    return lines


def line(page: str, beginning: str) -> str:
    """Return the page's one line to paste with this beginning."""
    (found,) = [each for each in to_paste(page) if each.startswith(beginning)]
    return found
