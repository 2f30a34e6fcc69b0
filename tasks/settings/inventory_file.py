"""An inventory file as its user wrote it: what is wrong with it, with the line, before pyinfra makes hosts of it."""

from __future__ import annotations

import ast
import difflib
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

from pyinfra.api import connectors
from pyinfra.api.exceptions import PyinfraError
from pyinfra_cli.exceptions import UnexpectedExternalError

from tasks.settings.groups import GROUPS, PREFIX
from tasks.settings.places import assignment_place, host_place
from tasks.settings.redact import printable, redacted, safe_name

OTHER_FORMATS = (".yml", ".yaml", ".json", ".ini", ".toml", ".cfg")
CONSTANTS = {"true": "True", "false": "False", "yes": "True", "no": "False", "null": "None", "none": "None"}
"""What other formats call Python's constants."""

MAX_LENGTH = 200
LITERALS = (ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Constant)


def read(path: str) -> dict[str, object]:
    """Run an inventory file and return its public names; `ValueError`, a line for each mistake, if it is none."""
    if not path:
        raise ValueError("no inventory is given; give one, for example inventories/local.py")
    if problem := _is_no_inventory(Path(path)):
        raise ValueError(problem)
    check_text(path)
    try:
        top_level = runpy.run_path(path)
    except (Exception, SystemExit) as error:
        raise ValueError(describe(error, path)) from None
    public = {name: value for name, value in top_level.items() if not name.startswith("_")}
    if problems := [line for name, value in public.items() for line in _group_problems(path, name, value)]:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    return public


def check_text(path: str) -> None:
    """Raise `ValueError` if pyinfra cannot read a Python file: it takes UTF-8 alone, without a byte order mark."""
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
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name} line {line} has a character that is not UTF-8; save the file as UTF-8, or write plain letters"
        ) from None


def describe(error: BaseException, path: str) -> str:
    """Return what a Python file of the user's raised, as one line with the place and what to do."""
    inner = error
    if isinstance(error, UnexpectedExternalError):  # so pyinfra wraps what a file raises, be it of group data
        inner, path = error.exception, error.filename
    if isinstance(inner, SyntaxError):
        place = f"{safe_name(str(inner.filename or path))} line {inner.lineno}"
        if re.match(r"[\w-]+:\s*$", inner.text or ""):
            return f'{place} is YAML, and an inventory is Python here: registry = ["nas"], as in inventories/homelab.py'
        return f"{place}: {printable(inner.msg)} ({type(inner).__name__}); correct that line, or the one before it"
    if isinstance(inner, PyinfraError):
        return f"{safe_name(path)}: {printable(' '.join(str(inner).split()))[:MAX_LENGTH]}; correct that host's name"
    place = f"{safe_name(path)} line {_line(inner, path)}"
    if isinstance(inner, NameError):
        if right := CONSTANTS.get(str(inner.name).lower()):
            return f"{place}: {inner.name} is not Python; write {right}"
        # The word itself may be a password without its quotes.
        return f'{place}: a word without quotes (NameError); write texts and hosts in quotes, as in "nas"'
    if isinstance(inner, TypeError) and (line := _missing_comma(path)):
        return f"{safe_name(path)} line {line}: a comma is missing between two values; put it at the end of that line"
    text = (str(inner).splitlines() or [""])[0]
    return f"{place}: {type(inner).__name__}: {printable(text)}; correct that line"


def _is_no_inventory(file: Path) -> str | None:
    name = safe_name(str(file))
    if file.is_dir():
        files = ", ".join(safe_name(str(each)) for each in sorted(file.glob("*.py"))[:5])
        return f"{name} is a folder; give an inventory file" + (f" in it ({files})" if files else "")
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [each.name for each in file.parent.glob("*.py")], 1)
        hint = (
            f"did you mean {safe_name(str(file.parent / near[0]))}?"
            if near
            else "give one, for example inventories/local.py"
        )
        return f"{name} is not an inventory file; {hint}"
    if file.suffix in OTHER_FORMATS:
        return (
            f"{name}: an inventory is a Python file here, not {file.suffix}; begin with "
            f"cp inventories/homelab.py {safe_name(str(file.with_suffix('.py')))}"
        )
    if file.parent.name == "group_data":
        return f"{name} has settings; the inventory is {safe_name(str(file.parent.parent / file.name))}"
    if file.name == "deploy.py" or file.parent.name == "deploys":
        return (
            f"{name} is what to run, and no inventory; give the inventory first: pyinfra -y INVENTORY {name}"
        )
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


def _group_problems(path: str, name: str, value: object) -> Iterator[str]:
    """Yield what keeps pyinfra from making a group of a public name that is one, or that it takes for one."""
    group = isinstance(value, list) and all(isinstance(item, (str, tuple)) for item in value)
    if name not in GROUPS and not group and not isinstance(value, tuple):
        return
    shown = f"{safe_name(name)} = {redacted(name, value)} ({assignment_place(path, name)})"
    match value:
        case list(hosts) | (list(hosts), dict()):
            for host in hosts:
                if problem := _host_problem(path, name, host):
                    yield problem
        case str():
            yield f"{shown}: must be a list of hosts; write {name} = [{_quoted(value)}]"
        case tuple() if value and all(isinstance(host, str) for host in value) and name in GROUPS:
            yield f"{shown}: must be a list of hosts; write {name} = [{', '.join(map(_quoted, value))}]"
        case _ if name in GROUPS:
            yield f'{shown}: must be a list of hosts, as in {name} = ["nas"]'
        case _ if name.startswith(PREFIX):
            yield f"{shown}: settings are not read here; put it into the file in group_data/"
        case _:
            yield f"{shown}: pyinfra takes each list and tuple here for a group of hosts; write _{safe_name(name)}"


def _host_problem(path: str, group: str, host: object) -> str | None:
    match host:
        case str(name) | (str(name), dict()):
            if not name.strip():
                return f"{assignment_place(path, group)}: a host has no name"
            return _connector_problem(path, name) if name.startswith("@") else None
        case (str(name), str(address)):
            right = f'({_quoted(name)}, {{"ssh_hostname": {_quoted(address)}}})'
        case (str(name),):
            right = _quoted(name)
        case (str(name), *_):
            right = f'({_quoted(name)}, {{"ssh_hostname": "ADDRESS"}})'
        case _:
            shown, place = redacted("", host), assignment_place(path, group)
            return f'{place}: {shown} is no host; write "nas" or ("nas", {{"ssh_hostname": "ADDRESS"}})'
    return f"{host_place(path, name)}: a host is a name, or a name and its data; write {right}"


def _connector_problem(path: str, name: str) -> str | None:
    connector, slash, rest = name[1:].partition("/")
    if connector in (known := connectors.get_all_connectors()):
        return None
    near = difflib.get_close_matches(connector, known, 1)
    hint = (
        f'did you mean "@{near[0]}{slash}{printable(rest)}"?'
        if near
        else f"there are @{', @'.join(sorted(known))}"
    )
    return f"{host_place(path, name)}: {redacted('', name)} begins with no connector of pyinfra's; {hint}"


def _quoted(text: str) -> str:
    return f'"{printable(text)}"'
