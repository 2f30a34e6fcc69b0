"""All changes to pyinfra and paramiko while they run, each with its reason.

Needed with pyinfra 3.10 and paramiko 4.0. Where no upstream issue is named, none is known.
"""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from typing import Any, NoReturn

import click
import paramiko.client
from pyinfra.api.state import State
from pyinfra.connectors.sshuserclient import SSHClient
from pyinfra_cli import cli

from tasks.remote.login_shells import for_any_shell


def never_prompt() -> None:
    """Keep pyinfra from asking whether to go on when a host fails.

    It asks whenever `-y` is missing: in a plan, where there is nothing to decide, and without a terminal, where the
    question ends in an `EOFError`.
    """
    cli._set_fail_prompts = lambda *_: None


def patch(state: State) -> None:
    """Make this process's run print, order and send as this project needs it."""
    state.get_op_order = partial(_written_order, state)  # type: ignore[method-assign]
    state.print_noop_info = True  # why nothing is done is part of every run's output, not only with -v
    state.print_fact_output = False  # facts hold users' files, and these may hold secrets: not even with -vvv
    signal.signal(signal.SIGINT, _exit_on_interrupt)
    paramiko.client.Transport = _Transport  # type: ignore[attr-defined]
    accept_any_login_shell()


def _written_order(state: State) -> list[str]:
    """Return the operations in the order in which deploy.py has them.

    pyinfra keeps the order of two operations only if one host runs both, or a chain of hosts joins them
    (pyinfra#824): a host that is only a client would be set up before the registry that it is to trust.
    """
    return sorted(state.op_meta, key=lambda operation: state.op_meta[operation].op_order)


def _exit_on_interrupt(*_: object) -> NoReturn:
    """Exit as a shell expects (128 + SIGINT); pyinfra exits with 0, as if all were done."""
    click.echo("Interrupted: the next run finishes what was begun.", err=True)
    sys.exit(130)


class _Transport(paramiko.Transport):
    """A transport without Nagle's algorithm.

    A command over SSH is several small packets in a row. With Nagle's algorithm each waits for the other end's delayed
    acknowledgement: 55 ms for a command instead of 9 ms.
    """

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(sock, socket.socket):  # not so with a ProxyCommand
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *args, **kwargs)


def accept_any_login_shell() -> None:
    """Send commands over SSH so that the login shell does not matter."""
    SSHClient.exec_command = _exec_command  # type: ignore[method-assign, assignment]


def _exec_command(self: SSHClient, command: str, *args: Any, **kwargs: Any) -> Any:
    return paramiko.SSHClient.exec_command(self, for_any_shell(command), *args, **kwargs)
