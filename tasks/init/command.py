"""`make init`: write an inventory of one's own, from answers or from arguments."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.init import ask, files
from tasks.init.hosts import NewHost, parse_hosts, read_key
from tasks.init.probe import Found, describe, look
from tasks.settings.load import Settings

EXAMPLE = (
    'make init NAME=yours HOSTS="registry=nas=admin@192.168.1.10 docker_hosts=nas,builder=root@192.168.1.11"'
)


def main(arguments: list[str]) -> int:
    """Write the two files of an inventory; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.init", description=__doc__)
    parser.add_argument("--name", default="", help="the inventory's name")
    parser.add_argument("--registry-name", default="", help="registry_hostname")
    parser.add_argument(
        "--home", default="", help="the folder that inventories/ is in; the project's if empty"
    )
    parser.add_argument("--key", default="", help="the file of the SSH key that logs in to the hosts")
    parser.add_argument(
        "hosts", nargs="*", help="GROUP=[NAME=][USER@]ADDRESS[:PORT], with commas for several"
    )
    given = parser.parse_args(arguments)
    try:
        return _init(given.name, given.registry_name, given.key, given.hosts, Path(given.home, "inventories"))
    except ValueError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename} cannot be written: {error.strerror}", file=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was written.", file=sys.stderr)
    return 1


def _init(name: str, registry_name: str, key: str, words: list[str], folder: Path) -> int:
    if not words and not sys.stdin.isatty():
        raise ValueError(f"there is no terminal to ask on; {EXAMPLE}")
    if words and not name:
        raise ValueError(f"the inventory has no name; {EXAMPLE}")

    def check_name(name: str) -> None:
        files.check_name(name)
        for path in files.existing(folder, name):
            raise ValueError(f"{path} exists, and is not overwritten; give the inventory another name")

    if name:
        check_name(name)
    else:
        name = ask.until_right(input, "Name of the inventory", "yours", check_name)
    if registry_name:
        ask.check_registry_name(registry_name)
    if not (key or words):
        key = ask.until_right(input, ask.ABOUT_KEYS, "", read_key)
    key = read_key(key)
    found = _given_hosts(words, key) if words else ask.ask_hosts(input, print, look, key)
    if not registry_name:
        print(ask.ABOUT_NAMES)
        registry_name = Settings.model_fields["registry_hostname"].default
        if not words:
            registry_name = ask.until_right(
                input, "Name of the registry", registry_name, ask.check_registry_name
            )
    texts = files.render(name, list(found), {host.name: seen for host, seen in found.items()}, registry_name)
    if problems := files.problems(name, texts, folder):
        raise ValueError("\n".join(problems))
    print(f"Wrote {' and '.join(reversed(files.write(folder, texts)))}.")
    _show_next(folder / f"{name}.py", found)
    return 0


def _given_hosts(words: list[str], key: str) -> dict[NewHost, Found]:
    hosts = [host.with_key(key) for host in parse_hosts(words)]
    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(hosts, pool.map(look, hosts), strict=True))
    for host, seen in found.items():
        print(describe(host, seen))
    return found


def _show_next(inventory: Path, found: dict[NewHost, Found]) -> None:
    # Of another folder the whole path is shown, so that the line can be pasted wherever HOME_DIR is not set.
    path = str(inventory) if not inventory.is_absolute() else os.path.abspath(inventory)
    on = f"INVENTORY={shlex.quote(path)}"
    if away := [host.name for host, seen in found.items() if seen.problem]:
        print(f"Not reached yet: {', '.join(away)} (see above); correct that, or that line of {path}.")
    print("Next:")
    print(f"    make plan {on}      # what a run would do; changes nothing")
    print(f"    make deploy {on}")
