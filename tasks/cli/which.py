"""Check what only make knows before one of its verbs begins: without an inventory, which one is meant?

The Makefile runs it with the system's Python, before there is a `.venv`: the standard library alone.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SHIPPED = ("local.py", "homelab.py")
"""The inventories of the project itself. They are no reason to ask which one is meant."""

VARIABLES = (
    "INVENTORY",
    "ACCOUNT",
    "FROM",
    "REPOSITORY",
    "OLDER",
    "DATA",
    "HOME_DIR",
    "NAME",
    "HOSTS",
    "KEY",
    "REGISTRY",
)
"""What the Makefile reads."""


def main(arguments: list[str]) -> int:
    """Print what is wrong with a command line of make, in one line; return 2 if something is, as make itself does."""
    parser = argparse.ArgumentParser(prog="tasks.cli.which", description=__doc__)
    for option, meaning in (
        ("verb", "the goal that takes an inventory"),
        ("inventory", "the value of INVENTORY"),
        ("home", "the value of HOME_DIR"),
        ("unknown-goals", "goals that the Makefile does not have"),
        ("unknown-variables", "NAME=value given to make, of names that the Makefile does not read"),
    ):
        parser.add_argument(f"--{option}", default="", help=meaning)
    given = parser.parse_args(arguments)
    problem = find_problem(
        given.verb,
        given.inventory,
        given.home,
        given.unknown_goals.split(),
        given.unknown_variables.split(),
    )
    if problem:
        print(problem, file=sys.stderr)
    return 2 if problem else 0


def find_problem(
    verb: str, inventory: str, home: str, goals: Sequence[str], variables: Sequence[str]
) -> str | None:
    """Return what keeps make from doing `verb`, with what to type; None if nothing does.

    make itself would do the verb first, on this machine, and complain about an unknown goal after that.
    """
    for variable in variables:
        name, _, value = variable.partition("=")
        right = f"{name.upper()}={value}" if name.upper() in VARIABLES else ""
        return f"make reads no {name}=; " + (
            f"make {verb} {right}" if right else "make help lists what it reads"
        )
    for goal in goals:
        if goal.endswith(".py"):
            return f"{goal} is no goal of make's; make {verb} INVENTORY={goal}"
        return f"make has no goal {goal}, so {verb} is not done either; make help lists them"
    if inventory or verb == "init":
        return None
    found = own_inventories(home)
    if found:
        return (
            f"which inventory? make {verb} INVENTORY={shlex.quote(found[0])} (there are: {', '.join(found)}); "
            "export INVENTORY=... spares you that"
        )
    if home:
        return (
            f"there is no inventory in {home}/inventories; make init HOME_DIR={shlex.quote(home)} writes one"
        )
    return None


def own_inventories(home: str) -> list[str]:
    """Return the paths of the user's own inventories: those in `home`/inventories, or if it is empty here."""
    folder = Path(home, "inventories")
    files = sorted(folder.glob("[!._]*.py")) if folder.is_dir() else []
    return [str(file) for file in files if home or file.name not in SHIPPED]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
