"""An inventory file as its user wrote it: what is wrong with it, with the line, before pyinfra makes hosts of it."""

from __future__ import annotations

import difflib
import runpy
from collections.abc import Iterator
from pathlib import Path

from pyinfra.api import connectors

from tasks.settings import python_file
from tasks.settings.groups import GROUPS, PREFIX
from tasks.settings.places import assignment_place, host_place
from tasks.settings.redact import printable, redacted, safe_name

OTHER_FORMATS = (".yml", ".yaml", ".json", ".ini", ".toml", ".cfg")


def read(path: str) -> dict[str, object]:
    """Run an inventory file and return its public names; `ValueError`, a line for each mistake, if it is none."""
    if not path:
        raise ValueError("no inventory is given; give one, for example inventories/local.py")
    if problem := _is_no_inventory(Path(path)):
        raise ValueError(problem)
    python_file.check(path)
    try:
        top_level = runpy.run_path(path)
    except (Exception, SystemExit) as error:
        raise ValueError(python_file.describe(error, path)) from None
    public = {name: value for name, value in top_level.items() if not name.startswith("_")}
    problems = [line for name, value in public.items() for line in _group_problems(path, name, value)]
    if problems := problems or list(_contradictions(path, public)):
        raise ValueError("\n".join(dict.fromkeys(problems)))
    return public


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


def _contradictions(path: str, public: dict[str, object]) -> Iterator[str]:
    """Yield the keys that a host has in several groups with several values: pyinfra would use the last one's."""
    known: dict[str, dict[str, object]] = {}
    for value in public.values():
        hosts = value[0] if isinstance(value, tuple) and value else value
        for host in hosts if isinstance(hosts, list) else []:
            match host:
                case (str(name), dict(data)):
                    for key in data:
                        if known.setdefault(name, {}).setdefault(key, data[key]) != data[key]:
                            yield (
                                f"{host_place(path, name)}: {_quoted(name)} has {safe_name(str(key))} twice, with two "
                                "values; keep its data in one place"
                            )


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
