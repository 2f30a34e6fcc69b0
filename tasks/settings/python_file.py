"""A Python file of the user's, an inventory or its group data: what keeps Python from reading it as it was meant."""

from __future__ import annotations

import ast
import re
import unicodedata
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError
from pyinfra_cli.exceptions import UnexpectedExternalError

from tasks.settings.redact import printable, safe_name

CONSTANTS = {"true": "True", "false": "False", "yes": "True", "no": "False", "null": "None", "none": "None"}
"""What other formats call Python's constants."""

LOW_QUOTES = "\u201e\u201a"
"""Unicode counts these as brackets, and other typographic quotes as quotes (Pi, Pf)."""

ADDRESS = re.compile(r"(?<![\w.\"'])\d{1,3}(?:\.\d{1,3}){3}(?![\w.\"'])")
MAX_LENGTH = 200
LITERALS = (ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Constant)


def check(path: str) -> None:
    """Raise `ValueError` if pyinfra cannot read a file, or if a line of it would set nothing.

    pyinfra takes UTF-8 alone, without a byte order mark.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{safe_name(path)} cannot be read: {error.strerror}") from None
    name = safe_name(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{name} is in UTF-16; save it as UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        raise ValueError(
            f"{name} begins with a byte order mark, which Python takes for a part of the first line; take it away: "
            f"sed -i '1s/^\\xef\\xbb\\xbf//' {name}"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name} line {line} has a character that is not UTF-8; save the file as UTF-8, or write plain letters"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{name} line {line} has a NUL byte; save the file as plain text in UTF-8")
    if in_yaml := _line_in_yaml(text):
        raise ValueError(_in_other_format(name, in_yaml, "YAML"))


def describe(error: BaseException, path: str) -> str:
    """Return what a Python file of the user's raised, as one line with the place and what to do."""
    inner = error
    if isinstance(error, UnexpectedExternalError):  # so pyinfra wraps what a file raises, be it of group data
        inner, path = error.exception, error.filename
    if isinstance(inner, (SyntaxError, NameError)) and (line := _line_in_ini(path)):
        return _in_other_format(_shown(path), line, "INI")
    if isinstance(inner, SyntaxError):
        return _describe_syntax(inner, _shown(str(inner.filename or path)))
    if isinstance(inner, PyinfraError):
        return f"{_shown(path)}: {printable(' '.join(str(inner).split()))[:MAX_LENGTH]}; correct that host's name"
    place = f"{_shown(path)} line {_line(inner, path)}"
    if isinstance(inner, NameError):
        if right := CONSTANTS.get(str(inner.name).lower()):
            return f"{place}: {inner.name} is not Python; write {right}"
        # The word itself may be a password without its quotes.
        return f'{place}: a word without quotes (NameError); write texts and hosts in quotes, as in "nas"'
    if isinstance(inner, TypeError) and (line := _missing_comma(path)):
        return f"{_shown(path)} line {line}: a comma is missing between two values; put it at the end of that line"
    text = (str(inner).splitlines() or [""])[0]
    return f"{place}: {type(inner).__name__}: {printable(text)}; correct that line"


def _describe_syntax(error: SyntaxError, path: str) -> str:
    place, text = f"{path} line {error.lineno}", error.text or ""
    if re.match(r"[\w-]+:\s*$", text):
        return _in_other_format(path, error.lineno, "YAML")
    character = text[(error.offset or 0) - 1 : error.offset]
    if character and (unicodedata.category(character) in {"Pi", "Pf"} or character in LOW_QUOTES):
        shown = f"{character} (U+{ord(character):04X})"
        return f'{place}: {shown} is no quote to Python; write " instead, at both ends of a text'
    if character.isspace() and character not in " \t\n\f":
        return f"{place} has a blank that is none to Python (U+{ord(character):04X}); write a plain one"
    if address := ADDRESS.search(text):
        return f'{place}: an address needs quotes; write "{address[0]}"'
    return (
        f"{place}: {printable(error.msg)} ({type(error).__name__}); correct that line, or the one before it"
    )


def _in_other_format(path: str, line: int | None, form: str) -> str:
    right = (
        "settings are Python here: registry_port = 5443, and texts in quotes"
        if Path(path).parent.name == "group_data"
        else 'an inventory is Python here: registry = ["nas"], as in inventories/homelab.py'
    )
    return f"{path} line {line} is {form}, and {right}"


def _shown(path: str) -> str:
    """Return a path as messages show it: pyinfra makes those of group data absolute."""
    file = Path(path)
    return safe_name(str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else path))


def _line_in_yaml(text: str) -> int | None:
    """Return the first line such as `registry_port: 5443`, which to Python is an annotation and sets nothing."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    return next((node.lineno for node in body if isinstance(node, ast.AnnAssign) and not node.value), None)


def _line_in_ini(path: str) -> int | None:
    """Return the line of the first section, `[registry]`, if nothing but comments is before it."""
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(("#", ";")):
            return number if re.fullmatch(r"\[[\w:. -]+\]\s*", line) else None
    return None


def _line(error: BaseException, path: str) -> int:
    """Return the last line of this file that the error came through."""
    lines, trace = [0], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1]


def _missing_comma(path: str) -> int | None:
    """Return the line at whose end a comma is missing: Python calls or indexes the value before it."""
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=value) | ast.Subscript(value=value) if isinstance(value, LITERALS):
                return value.end_lineno
    return None
