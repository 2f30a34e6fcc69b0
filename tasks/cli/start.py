"""The start of a run: pyinfra's command line and inventory become a `Run`, or a list of mistakes."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import click
from pyinfra.context import ctx_state
from pyinfra_cli.util import parse_cli_arg

from tasks.backup import age
from tasks.cli import arguments, connections, pyinfra_output, pyinfra_patches, selection, summary
from tasks.run import context, output
from tasks.run.context import ROOT, Run
from tasks.settings import inventory
from tasks.settings.load import Configuration, SettingsError, configure
from tasks.state.files import StateError
from tasks.state.place import describe, store_of
from tasks.verbs import with_inventory

FOR_ALL_HOSTS = ("rotate_ca.py", "retire_ca.py")
"""The files of `deploys/` that make no sense for some of the hosts."""

ONLY_FOR = dict.fromkeys(("backup.py", "restore.py", "repair.py"), ("registry", "backup_hosts"))
"""The files of `deploys/` that need the hosts of some groups alone: whether others can be reached does not matter."""

PATIENCE = "HOMELAB_REGISTRY_PATIENCE"
"""The environment variable with the seconds that a run waits for another one on the same state.

The timer alone sets it.
"""


def begin() -> bool:
    """Begin the run that the command line asks for, or print what is wrong with it; return whether it may go on.

    Commands other than deploys (`exec`, `fact`) need no settings and are let through, with pyinfra's own output.
    """
    options = click.get_current_context().params
    if not all(name.endswith(".py") for name in options["operations"]):
        pyinfra_patches.keep_connections_apart()
        return True
    pyinfra_output.erase_loading_line()
    if problems := _begin(options):
        lines = [with_inventory(line, options["inventory"]) for line in problems]
        summary.show_refusal(lines, as_json=options["json_output"])
    return not problems


def _begin(options: dict[str, Any]) -> list[str]:
    """Begin the run, or return what is wrong with the command line and the inventory, a line for each mistake."""
    if problems := arguments.problems(options):
        return problems
    override = {
        key: parse_cli_arg(value) for key, _, value in (item.partition("=") for item in options["data"])
    }
    try:
        hosts, sources = inventory.load(options["inventory"], override, options["group_data"])
        configuration = configure(sources)
    except ValueError as error:
        return str(error).splitlines()
    except SettingsError as error:
        return error.problems
    if problems := _check_options(options, [dict(host.data.dict()) for host in hosts]):
        return problems
    if problems := selection.problems(hosts, options["limit"], options["exclude"]):
        return problems
    if unknown := _unknown_hosts(
        configuration.settings.registry_excused_hosts, {host.name for host in hosts}
    ):
        return [f"registry_excused_hosts = {', '.join(unknown)}: the inventory has no such host"]
    if problem := _missing({Path(name).name for name in options["operations"]}, configuration):
        return [problem]
    if options["dry"] or not sys.stdin.isatty():
        pyinfra_patches.never_prompt()
    try:
        store = store_of(options["inventory"], configuration.settings.registry_state_dir, ROOT)
    except (StateError, OSError) as error:
        return [str(error)]
    state = ctx_state.get()
    run = Run(
        configuration,
        store,
        inventory=options["inventory"],
        # Without -y, pyinfra's --json shows what a run would do.
        dry=options["dry"] or (options["json_output"] and not options["yes"]),
        by_timer=PATIENCE in os.environ,
        verbose=state.print_noop_info,
        as_json=options["json_output"],
    )
    if problem := _hold_state(run):
        return [problem]
    context.begin(run)
    pyinfra_patches.patch(run, state)
    deploys = {Path(name).name for name in options["operations"]}
    if deploys <= ONLY_FOR.keys():
        pyinfra_patches.connect_only(state, {group for name in deploys for group in ONLY_FOR[name]})
    pyinfra_output.quieten(run, state)
    pyinfra_patches.keep_connections_apart(partial(connections.note_failure, run))
    output.start_moving_line()
    atexit.register(run.resources.close)  # the last one registered is called first
    atexit.register(summary.show, run)
    return []


def _hold_state(run: Run) -> str | None:
    """Check the state's folder, and unless this is a plan hold it until this process ends; return what is wrong."""
    try:
        run.store.check_folder()
        if run.dry:
            return None
        run.resources.enter_context(run.store.lock(float(os.environ.get(PATIENCE) or 0)))
    except StateError as error:
        return str(error)
    except OSError as error:
        return describe(error, run.store.folder)
    return None


def _unknown_hosts(names: Collection[str], known: Collection[str]) -> list[str]:
    return [name for name in names if name not in known]


def _missing(deploys: Collection[str], configuration: Configuration) -> str | None:
    """Return what a backup or a restore needs to be told first."""
    if "backup.py" in deploys and not age.targets(configuration):
        return (
            "nothing keeps backups; put a host into the group backup_hosts, or set registry_backup_folder (on another "
            "disk of the registry host) or registry_backup_program: see docs/by-task.md, Back up"
        )
    if "restore.py" in deploys and not configuration.settings.registry_restore:
        return (
            "no backup is named; make restore FROM=latest (or HOST:latest, a backup's name, a folder of the registry "
            "host)"
        )
    return None


def _check_options(options: dict[str, Any], hosts: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the command line's options and with the hosts' data."""
    problems = []
    passwords = {"_sudo_password", "sudo_password", "_su_password"}
    asked = options["use_sudo_password"] or options["same_sudo_password"]
    if asked or any(passwords & set(data) for data in hosts):
        problems.append(
            "a sudo password cannot be used, since pyinfra would put it into the arguments of a process; "
            "log in as root or allow passwordless sudo"
        )
    if not (options["yes"] or options["dry"] or options["json_output"] or sys.stdin.isatty()):
        problems.append(
            "there is no terminal to ask on; give -y to go on without asking, or --dry for a plan"
        )
    if options["yes"] and options["dry"]:
        problems.append("give -y or --dry, not both: with -y pyinfra looks at no host before it begins")
    problems += arguments.other_users(options, hosts)
    partial_run = [
        name for name in options["operations"] if options["limit"] and Path(name).name in FOR_ALL_HOSTS
    ]
    if partial_run:
        problems.append(
            f"{partial_run[0]} is for all hosts, since each must trust the new CA; leave out --limit, and name "
            "hosts that are gone for good with --data registry_excused_hosts=NAME"
        )
    return problems
