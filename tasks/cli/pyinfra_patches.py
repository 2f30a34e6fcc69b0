"""All changes to pyinfra and paramiko while they run, each with its reason.

Needed with pyinfra 3.10 and paramiko 4.0. Where no upstream issue is named, none is known.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Collection
from functools import partial, partialmethod
from getpass import getpass
from typing import Any, NoReturn

import paramiko.client
from pyinfra import logger
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.output import format_text
from pyinfra.api.state import State
from pyinfra.connectors import ssh, ssh_util
from pyinfra.connectors.sshuserclient import SSHClient
from pyinfra_cli import cli

from tasks.remote.login_shells import for_any_shell
from tasks.run.context import Run


def never_prompt() -> None:
    """Keep pyinfra from asking whether to go on when a host fails.

    It asks whenever `-y` is missing: in a plan, where there is nothing to decide, and without a terminal, where the
    question ends in an `EOFError`.
    """
    cli._set_fail_prompts = lambda *_: None


def patch(run: Run, state: State) -> None:
    """Make this process's run order and send as this project needs it."""
    state.get_op_order = partial(_written_order, state)  # type: ignore[method-assign]
    state.print_fact_output = False  # facts hold users' files, and these may hold secrets: not even with -vvv
    signal.signal(signal.SIGINT, partial(_exit_on_interrupt, run))
    paramiko.client.Transport = _Transport  # type: ignore[attr-defined]
    accept_any_login_shell()


def connect_only(state: State, groups: Collection[str]) -> None:
    """Connect only to hosts of these groups, in addition to what `--limit` and `--exclude` say.

    pyinfra connects to every other host of the inventory too, before it reads the first file of the run.
    """
    init = state.init

    def limited(inventory: Inventory, config: Config | None, initial_limit: list[Host] | None = None) -> None:
        chosen = list(inventory) if initial_limit is None else initial_limit
        init(inventory, config, [host for host in chosen if not {*groups}.isdisjoint(host.groups)])

    state.init = limited  # type: ignore[method-assign]


def _written_order(state: State) -> list[str]:
    """Return the operations in the order in which deploy.py has them.

    pyinfra keeps the order of two operations only if one host runs both, or a chain of hosts joins them
    (pyinfra#824): a host that is only a client would be set up before the registry that it is to trust.
    """
    return sorted(state.op_meta, key=lambda operation: state.op_meta[operation].op_order)


def _exit_on_interrupt(run: Run, *_: object) -> NoReturn:
    """Exit as a shell expects (128 + SIGINT); pyinfra exits with 0, as if all were done."""
    run.interrupted = True
    sys.exit(130)


class _Transport(paramiko.Transport):
    """A transport without Nagle's algorithm, which keeps what a server says that is not SSH.

    A command over SSH is several small packets in a row. With Nagle's algorithm each waits for the other end's delayed
    acknowledgement: 55 ms for a command instead of 9 ms.
    """

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        self.banner_lines: list[str] = []
        if isinstance(sock, socket.socket):  # not so with a ProxyCommand
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *args, **kwargs)

    def _log(self, level: int, msg: Any, *args: Any) -> None:
        # paramiko tells nobody else (`_check_banner`): sshd's "Exceeded MaxStartups", or the answer of a web server.
        if isinstance(msg, str) and msg.startswith("Banner: "):
            self.banner_lines.append(msg.removeprefix("Banner: "))
        super()._log(level, msg, *args)  # type: ignore[misc]


def accept_any_login_shell() -> None:
    """Send commands over SSH so that the login shell does not matter."""
    SSHClient.exec_command = _exec_command  # type: ignore[method-assign, assignment]


def _exec_command(self: SSHClient, command: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return paramiko.SSHClient.exec_command(self, for_any_shell(command), *args, **kwargs)
    except EOFError as error:
        # paramiko's word for a connection that the host has closed; pyinfra takes it for an error of everyone's.
        raise paramiko.SSHException("the connection was closed") from error


_connect_host = Host.connect


def keep_connections_apart(note: Callable[[Host, ConnectError], None] | None = None) -> None:
    """Let a connection that fails in any way be the failure of that host alone, and print no traceback for it.

    pyinfra takes a `ConnectError` for that. Whatever else a connector raises ends the run for all hosts: a missing key
    is a `PyinfraError`, a ProxyJump that leads to itself a `RecursionError`. paramiko logs what its threads raise.

    `note` gets each failure, which is then not printed; what was raised is the cause or the context of its error.
    """
    Host.connect = partialmethod(_connect, note)  # type: ignore[method-assign, assignment]
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    ssh.BadHostKeyException = _NeverRaised  # type: ignore[assignment, misc]
    ssh_util.getpass = _ask_on_terminal  # type: ignore[assignment]


def _connect(
    self: Host,
    note: Callable[[Host, ConnectError], None] | None,
    reason: str | None = None,
    show_errors: bool = True,
    raise_exceptions: bool = False,
) -> None:
    show = show_errors and note is None
    try:
        _connect_host(self, reason, show, raise_exceptions=True)
    except Exception as error:
        if isinstance(error, ConnectError):
            failed = error
        else:
            failed = ConnectError(f"{type(error).__name__}: {error}")
            failed.__cause__ = error
            if show:
                logger.error(f"{self.print_prefix}{format_text(str(failed), 'red')}")
            self.state.trigger_callbacks("host_connect_error", self, failed)
        if note:
            note(self, failed)
        if raise_exceptions:
            raise failed from failed.__cause__


class _NeverRaised(paramiko.SSHException):
    """Stands for a changed host key in pyinfra's connector, which prints four lines about it.

    Its `ssh-keygen -R` is for `~/.ssh/known_hosts` even if another file is in use.
    """


def _ask_on_terminal(prompt: str) -> str:
    """Ask for a key's passphrase. Without a terminal `getpass` would print the question and fail with `EOFError`."""
    if not sys.stdin.isatty():
        raise PyinfraError("the key has a passphrase")
    return getpass(prompt)
