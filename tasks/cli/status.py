"""`make status`: what is deployed, how long it is good for, and what a run would do. It changes nothing.

The exit code is 0 if a run would do nothing, 3 if it would change something, 1 if it or the inventory has a problem
(make turns both into its own 2).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509

from tasks.backup import age
from tasks.certificates import rollover
from tasks.certificates.renewal import renewal_time
from tasks.run.context import ROOT
from tasks.settings.load import Configuration, SettingsError
from tasks.state.files import StateError
from tasks.state.place import store_of
from tasks.state.store import State, Store
from tasks.timer import status as timer_status
from tasks.timer.units import timer_for
from tasks.verbs import with_inventory

NOTHING, PROBLEM, CHANGES = 0, 1, 3
"""The exit codes."""

MOST_LINES = 4
"""How many problems are shown; `make plan` shows all."""

LISTED = "make plan lists them"

Row = tuple[str, str]
"""What a line is about, and what it says."""


def main(arguments: list[str]) -> int:
    """Print the status of an inventory's deployment; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.cli.status", description=__doc__)
    parser.add_argument("inventory")
    inventory = parser.parse_args(arguments).inventory
    try:
        configuration = _read(inventory)
        store = store_of(inventory, configuration.settings.registry_state_dir, ROOT)
        rows = deployed(store.read(), configuration, store.folder, dt.datetime.now(dt.UTC))
        _show([*rows, *backups(configuration, store, dt.datetime.now(dt.UTC)), *timer(inventory)], inventory)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return PROBLEM
    except (StateError, OSError) as error:
        print(with_inventory(str(error), inventory), file=sys.stderr)
        return PROBLEM
    document = _plan(inventory)
    code, rows = planned(document)
    _show([*storage(document), *rows], inventory)
    return code


def deployed(state: State, configuration: Configuration, folder: Path, now: dt.datetime) -> list[Row]:
    """Return what the state knows of the deployment: no host is asked for it."""
    settings, leaf = configuration.settings, state.leaf
    if not (state.authority and leaf):
        return [("Registry", f"none yet: {folder} has no finished deployment")]
    found = rollover.stage_at(state.authority, state.successor, None, now)
    renew = renewal_time(leaf.certificate, settings.renew_before_days)
    rows = [
        ("Registry", f"https://{settings.endpoint}, on {state.registry_host}"),
        ("Certificate", f"{_left(leaf.certificate, now)}; any run from {renew:%Y-%m-%d} on renews it"),
        ("CA", _left(found.latest.certificate, now)),
    ]
    said = (rollover.describe_progress(found), rollover.expiry_warning(found, now))
    rows += [("", line) for line in said if line]
    if former := sorted(state.former):
        rows.append(("Passwords", f"former ones are still accepted: {', '.join(former)}"))
    return rows


def _left(certificate: x509.Certificate, now: dt.datetime) -> str:
    end = certificate.not_valid_after_utc
    days = (end - now).days
    return f"{days} days left (until {end:%Y-%m-%d})" if end > now else f"expired on {end:%Y-%m-%d}"


def backups(configuration: Configuration, store: Store, now: dt.datetime) -> list[Row]:
    """Return how old the last good backup is, as the state knows it."""
    targets = age.targets(configuration)
    if not targets:
        return [("Backup", "none is set up; see docs/by-task.md, Back up")]
    return [("Backup", age.describe(targets, age.read_last(store.read_backups()), now))]


def timer(inventory: str) -> list[Row]:
    """Return what is known of the inventory's timer."""
    if problem := timer_status.find_problem(inventory):
        return [("Timer", problem)]
    found = timer_for(inventory)
    if not found.is_made:
        return [("Timer", "none; make timer has systemd run this every week")]
    if not found.succeeded.exists():
        return [("Timer", "on; it has not run yet")]
    return [("Timer", timer_status.summary(found))]


def storage(document: Mapping[str, Any]) -> list[Row]:
    """Return how full the registry's storage is, from the document of a plan."""
    text = document.get("storage", {}).get("text")
    return [("Storage", text)] if text else []


def planned(document: Mapping[str, Any]) -> tuple[int, list[Row]]:
    """Return the exit code, and what a run would do, from the document of a plan (`--json`)."""
    hosts: Mapping[str, Any] = document["hosts"]
    problems = [f"{line}" for line in document["problems"]]
    for name, host in hosts.items():
        problems += [f"[{name}] {each['problem']}; {each['remedy']}" for each in host["problems"]]
    steps = {name: len(host["steps"]) for name, host in hosts.items() if host["steps"]}
    count = sum(steps.values())
    by_host = ", ".join(f"{name} {number}" for name, number in steps.items())
    rows = [("A run", f"would take {count} step{'s'[: count != 1]}: {by_host} ({LISTED})")] if count else []
    if problems:
        return PROBLEM, [*rows, *_problems(problems)]
    if count:
        return CHANGES, rows
    return NOTHING, [("A run", f"has nothing to do on {len(hosts)} host{'s'[: len(hosts) != 1]}")]


def _problems(problems: Iterable[str]) -> list[Row]:
    first, *others = problems
    shown, left = others[: MOST_LINES - 1], others[MOST_LINES - 1 :]
    more = [f"and {len(left)} more problems; {LISTED}"] if left else []
    return [("Problems", first), *(("", line) for line in [*shown, *more])]


def _plan(inventory: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pyinfra", "--dry", "--json", inventory, "deploy.py"]
    ran = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        document: dict[str, Any] = json.loads(ran.stdout)
    except ValueError:
        last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        return {"hosts": {}, "problems": [f"the plan could not be made ({last}); see make plan"]}
    return document


def _show(rows: Iterable[Row], inventory: str) -> None:
    for title, text in rows:
        print(f"{title:<12} {with_inventory(text, inventory)}", flush=True)


def _read(inventory: str) -> Configuration:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import read  # noqa: PLC0415

    return read(inventory)[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
