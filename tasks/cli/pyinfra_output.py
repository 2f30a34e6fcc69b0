"""What pyinfra prints of a deploy, kept from being printed: a run prints its own lines, each once.

Needed with pyinfra 3.10, which has no option for it. Commands other than deploys keep pyinfra's output.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import partial
from typing import Any

import click
from pyinfra import logger
from pyinfra.api.state import State
from pyinfra_cli import cli
from pyinfra_cli.cli import _handle_commands, connect_all

from tasks.run import output
from tasks.run.context import Run


def erase_loading_line() -> None:
    """Erase pyinfra's "--> Loading config..." from a terminal: it is printed before config.py, and so before us."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        sys.stderr.write("\033[1A\033[2K")


def quieten(run: Run, state: State) -> None:
    """Keep all that pyinfra prints of a deploy from being printed, but for the errors of hosts.

    It prints by its logger, by `click.echo` (what it has detected), and a moving line of its own. With `-vv`, which
    shows the commands, and with `--debug`, its log stays as it is.
    """
    os.environ["PYINFRA_PROGRESS"] = "off"
    if not (state.print_input or logger.level == logging.DEBUG):
        logger.addFilter(_is_for_people)
    cli.connect_all = _connect_all
    cli._handle_commands = partial(_prepare, run, state)
    cli.print_run_json = lambda *_, **__: None  # summary.show prints a document of ours


def _is_for_people(record: logging.LogRecord) -> bool:
    """Return whether a line of pyinfra's log says what our own do not: an error of a host.

    "Error: executed 0 commands" follows each failure of a step, and "No hosts remaining!" the last one. A `known_hosts`
    that is missing is made by the first login.
    """
    text = record.getMessage()
    args = record.args if isinstance(record.args, tuple) else ()
    if text.startswith("Failed to load host keys") and isinstance(args[-1], FileNotFoundError):
        return False
    counted = record.funcName == "log_error_or_warning" and "executed " in text
    return record.levelno > logging.INFO and not counted and not text.endswith("No hosts remaining!")


def _connect_all(state: State) -> None:
    with output.under_way("connect to the hosts"):
        connect_all(state)


def _prepare(run: Run, state: State, *args: Any, **kwargs: Any) -> Any:
    """Prepare the operations, and show and ask what pyinfra would; it does so if the first value returned is true.

    With `--json` it shows and asks nothing, but ends without `-y`.
    """
    with output.under_way("look at the hosts"):
        _, state, config = _handle_commands(state, *args[1:], **kwargs)
    if state.check_for_changes and not run.dry:
        _ask(run)
    return kwargs["json_output"], state, config


def _ask(run: Run) -> None:
    """Ask whether to carry out what was printed, and leave if not: without `-y` a plan comes first."""
    count = run.report.count()
    click.echo(
        f"Steps: {count}. Press Enter to take them, Ctrl-C to leave all as it is: ", nl=False, err=True
    )
    if input():
        run.dry = True
        cli._exit()
    run.report.forget_plan()
    run.begun = time.monotonic()
