"""What is wrong with the command line alone, which pyinfra would ignore or print a traceback for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

NUMBERS = {
    "parallel": ("--parallel", range(1, sys.maxsize), "a number of hosts, 1 or more"),
    "fail_percent": ("--fail-percent", range(101), "a percentage, 0 to 100"),
    "retry": ("--retry", range(sys.maxsize), "a number of tries, 0 or more"),
    "retry_delay": ("--retry-delay", range(sys.maxsize), "a number of seconds, 0 or more"),
}
"""By pyinfra's name of an option: how it is typed, what it may be, and that in words."""

OTHER_USERS = {
    "sudo_user": "--sudo-user",
    "su_user": "--su-user",
    "dzdo": "--dzdo",
    "dzdo_user": "--dzdo-user",
    "_sudo_user": "_sudo_user",
    "_su_user": "_su_user",
    "_dzdo": "_dzdo",
    "_dzdo_user": "_dzdo_user",
    "_doas": "_doas",
    "_doas_user": "_doas_user",
}
"""pyinfra's ways to be somebody else, by the name of the option or of the host's data."""


def problems(options: Mapping[str, Any]) -> list[str]:
    """Return a line for each mistake, by pyinfra's options."""
    return [*_files(options["operations"]), *_data(options["data"]), *_others(options)]


def other_users(options: Mapping[str, Any], hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each way to be another user than root, by the options and the hosts' data."""
    everywhere = [options, *hosts]
    return [
        f"{shown}: all is done as root, and a run finds out how to become root; leave it out, and log in as root or "
        "with passwordless sudo"
        for name, shown in OTHER_USERS.items()
        if any(found.get(name) for found in everywhere)
    ]


def _files(names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if Path(name).parent.name == "inventories":
            yield f"{name} has hosts, and is no deploy file; one run is for one inventory"
            continue
        if count > 1:
            yield f"{name} is given twice"
        try:
            compile(Path(name).read_bytes(), name, "exec")
        except SyntaxError as error:
            what = f"{error.msg} ({type(error).__name__})"
            yield f"{name} line {error.lineno}: {what}; correct that line, or the one before it"
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}; give a deploy file, for example deploy.py"
        except ValueError:  # null bytes
            yield f"{name} is no Python file; give a deploy file, for example deploy.py"


def _data(items: Iterable[str]) -> Iterator[str]:
    """Check the form of `--data`. What is given may be a password, and so is not shown."""
    if not all("=" in item for item in items):
        yield "--data without a value; write --data NAME=VALUE"
    if any(item.startswith("=") for item in items):
        yield "--data without a name; write --data NAME=VALUE"


def _others(options: Mapping[str, Any]) -> Iterator[str]:
    if options["ssh_password_prompt"] and not sys.stdin.isatty():
        yield "--ssh-password-prompt: there is no terminal to ask on; use a key (ssh_key)"
    for key, (option, allowed, meaning) in NUMBERS.items():
        if options[key] is not None and options[key] not in allowed:
            yield f"{option} {options[key]}: must be {meaning}"
    for folder in options["group_data"]:
        if not Path(folder).is_dir():
            yield f"--group-data {folder}: there is no such folder"
