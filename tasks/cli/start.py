"""The beginning of a run: pyinfra's command line and inventory become a run, or a list of what is wrong."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli import cli
from pyinfra_cli.util import parse_cli_arg

from tasks.cli import pyinfra_patches, summary
from tasks.run import context as run
from tasks.settings import inventory
from tasks.settings.load import SettingsError, configure
from tasks.state.files import StateError
from tasks.state.store import Store

OF_ALL_HOSTS = ("rotate_ca.py", "retire_ca.py")
"""The files of `deploys/` that mean nothing for a part of the hosts."""

PATIENCE = "HOMELAB_REGISTRY_PATIENCE"
"""The variable with the seconds that a run waits for another that uses the same state; the timer's sets it."""


def begin() -> list[str]:
    """Begin the run that the command line asks for; return what keeps it from beginning, a line for each mistake.

    Commands that are no deploy (`exec`, `fact`) need no settings, and are let through.
    """
    options = click.get_current_context().params
    if not all(name.endswith(".py") for name in options["operations"]):
        return []
    override = {
        key: parse_cli_arg(value) for key, _, value in (item.partition("=") for item in options["data"])
    }
    try:
        hosts, sources = inventory.load(options["inventory"], override, options["group_data"])
        configuration = configure(sources)
    except ValueError as error:
        return [str(error)]
    except SettingsError as error:
        return error.problems
    if problems := _refused(options, [dict(host.data.dict()) for host in hosts]):
        return problems
    if options["dry"] or not sys.stdin.isatty():
        # Without -y pyinfra asks at a host's failure, at which a plan has nothing to decide and no terminal may be.
        cli._set_fail_prompts = lambda *_: None
    known = {host.name for host in hosts}
    if strange := [each for each in configuration.settings.registry_excused_hosts if each not in known]:
        return [f"registry_excused_hosts = {', '.join(strange)}: the inventory has no such host"]
    store = Store(run.ROOT / configuration.settings.registry_state_dir)
    this = run.Run(configuration, store, inventory=options["inventory"], dry=options["dry"])
    if not this.dry:
        try:
            this.resources.enter_context(store.lock(float(os.environ.get(PATIENCE) or 0)))
        except StateError as error:
            return [f"{error.problem}; {error.remedy}"]
        except OSError as error:
            return [f"{store.folder} cannot be used: {error.strerror}; choose another registry_state_dir"]
    run.begin(this)
    pyinfra_patches.send_at_once()
    state = ctx_state.get()
    state.get_op_order = partial(_as_written, state)
    signal.signal(signal.SIGINT, _interrupted)
    # Reasons for doing nothing are part of every run's output, not only of -v.
    state.print_noop_info = True
    # What facts are told includes files of the user's, which may hold secrets: not even -vvv prints it.
    state.print_fact_output = False
    atexit.register(summary.show, this)
    return []


def _as_written(state: State) -> list[str]:
    """Return the operations in the order in which they are written.

    pyinfra keeps two in order only where one host has both, or a chain of hosts joins them (`State.get_op_order`): a
    client that is nothing else would be told to trust a registry that comes later.
    """
    return sorted(state.op_meta, key=lambda operation: state.op_meta[operation].op_order)


def _interrupted(*_: object) -> NoReturn:
    """End as the shell expects (128 + SIGINT); pyinfra would end with 0, as if all were done."""
    click.echo("Interrupted: what was begun is finished by the next run.", err=True)
    sys.exit(130)


def _refused(options: dict[str, Any], hosts: list[dict[str, Any]]) -> list[str]:
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
    if options["limit"] and (
        named := [name for name in options["operations"] if Path(name).name in OF_ALL_HOSTS]
    ):
        problems.append(
            f"{named[0]} is for all hosts, since every one has to trust what serves next; leave --limit away, and name "
            "hosts that are gone for good with --data registry_excused_hosts=NAME"
        )
    if not Path("deploy.py").is_file():
        problems.append("run it from the project's folder")
    return problems
