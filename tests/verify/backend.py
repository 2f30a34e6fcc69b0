"""testinfra over pyinfra's connectors, so that one inventory (local, SSH, Docker) feeds deployment and verification."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable
from typing import Any, TypeVar

import testinfra.backend.base
import testinfra.host
from paramiko.ssh_exception import SSHException
from pyinfra.api.command import StringCommand
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from tasks.remote.docker import OWN_ENGINE
from tasks.run import machines
from tasks.run.machines import Machine, MachineFact

SECONDS = 300
"""How long one command on a host may take."""

PREAMBLE = f"export LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin{OWN_ENGINE}"
EXIT = "homelab-verify-exit="
T = TypeVar("T")


class Unreachable(Exception):  # noqa: N818 - a finding about a host, not a fault in the program
    """A host or the registry gives no answer; the message is one line that names it and says what to do."""


class Backend(testinfra.backend.base.BaseBackend):  # type: ignore[misc]
    """Runs commands as root. pyinfra returns no exit code, so the last line on standard error has it."""

    NAME = "pyinfra"

    def __init__(self, host: PyinfraHost, *, sudo: bool) -> None:
        super().__init__(host.name)
        self.pyinfra_host = host
        self.connector_arguments = {"_sudo": True} if sudo else {}

    def run(self, command: str, *args: str, **kwargs: Any) -> Any:
        """Run a command; each `%s` in it is replaced by an argument, quoted."""
        return self.run_with_input(None, command, *args)

    def run_with_input(self, text: str | None, command: str, *args: str) -> Any:
        """Run a command with a text (and a newline, which pyinfra adds) on its standard input."""
        command = self.get_command(command, *args)
        script = f"{PREAMBLE}timeout {SECONDS} sh -c {shlex.quote(command)}; echo {EXIT}$? >&2"
        arguments = self.connector_arguments | ({} if text is None else {"_stdin": text})
        try:
            _, output = self.pyinfra_host.run_shell_command(StringCommand(script), **arguments)
        except (OSError, EOFError, SSHException) as error:
            raise Unreachable(f"{self.hostname}: the connection was lost ({error}); run again") from None
        *lines, last = output.stderr_lines or [""]
        if not (end := re.fullmatch(rf"(.*){EXIT}(\d+)", last)):
            raise Unreachable(f"{self.hostname}: a command was cut off ({last}); run again")
        stderr = "\n".join([*lines, end[1]] if end[1] else lines)
        return self.result(int(end[2]), command.encode(), output.stdout, stderr)


class Host(testinfra.host.Host):  # type: ignore[misc]
    """A host of the inventory, with testinfra's modules. Secrets go through `run_with_input` alone."""

    def __init__(self, backend: Backend, machine: Machine) -> None:
        super().__init__(backend)
        self.name = backend.hostname
        self.machine = machine

    def run_with_input(self, text: str, command: str, *args: str) -> Any:
        """Run a command with a text on its standard input."""
        return self.backend.run_with_input(text, command, *args)

    def fact(self, fact: type[FactBase[T | None]], **arguments: Any) -> T:
        """Return a fact of the deploy's; it may take long. `Unreachable` with one line if it could not be read."""
        connected = self.backend.pyinfra_host
        given = {**arguments, **self.backend.connector_arguments}
        found: T | None = get_fact(connected.state, connected, fact, kwargs=given, apply_failed_hosts=False)
        if found is None:
            raise Unreachable(
                f"{self.name}: {fact.__name__} could not be read (see above); fix that and run again"
            )
        return found

    def output(self, command: str, *args: str) -> str:
        """Return what a command prints; `AssertionError` with one line if it fails."""
        done = self.run(command, *args)
        assert done.rc == 0, f"{self.name}: `{command}` failed ({last_line(done)}); fix that and run again"
        return str(done.stdout)


class Hosts:
    """The hosts to look at, connected to all at once and only once."""

    def __init__(self, path: str, inventory: Inventory, names: Iterable[str]) -> None:
        # They import pyinfra's command line, which patches threads for gevent.
        from tasks.cli import connections, pyinfra_patches

        self._inventory = inventory
        self._found: dict[str, Host] = {}
        self._errors: dict[str, str] = {}

        def note(host: PyinfraHost, error: ConnectError) -> None:
            self._errors[host.name] = "; ".join(connections.explain(path, host, error))

        pyinfra_patches.accept_any_login_shell()
        pyinfra_patches.keep_connections_apart(note)
        self._state = State()
        wanted = [inventory.get_host(name) for name in dict.fromkeys(names)]
        self._state.init(inventory, None, initial_limit=wanted)
        with contextlib.suppress(PyinfraError):  # if none answers, each test reports its own host
            connect_all(self._state)

    def get(self, name: str) -> Host:
        """Return a host; `Unreachable` if nothing can be run there as root."""
        if name not in self._found:
            self._found[name] = self._connect(self._inventory.get_host(name))
        return self._found[name]

    def notes(self) -> list[str]:
        """Return what people should know of the hosts that were looked at."""
        noted = []
        for name, host in self._found.items():
            if host.machine.engine == "off":
                noted.append(
                    f"{name}: Docker Engine is off on purpose ({host.machine.why_off}), so it was asked nothing"
                )
            if note := machines.volatile(host.machine):
                noted.append(f"{name}: {note}")
        return noted

    def close(self) -> None:
        """End all connections."""
        disconnect_all(self._state)

    def _connect(self, host: PyinfraHost) -> Host:
        if not host.connected:
            raise Unreachable(f"{host.name}: {self._errors[host.name]}")
        machine = get_fact(self._state, host, MachineFact, kwargs={"_sudo": False}, apply_failed_hosts=False)
        if machine is None:
            raise Unreachable(
                f"{host.name}: whether commands can be run as root could not be read; fix that and run again"
            )
        if machine.rights == "none":
            raise Unreachable(f"{host.name}: {machines.no_rights(machine)}")
        return Host(Backend(host, sudo=machine.rights == "sudo"), machine)


def last_line(done: Any) -> str:
    """Return the last line that a command printed, on standard error or else on standard output.

    A long line is cut in the middle: programs in Go name the cause at the end.
    """
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    line = lines[-1] if lines else "it printed nothing"
    return line if len(line) <= 200 else f"{line[:60]} ... {line[-135:]}"
