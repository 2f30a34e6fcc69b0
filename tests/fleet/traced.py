"""pyinfra with its commands recorded, and killed at a given point.

    python -m tests.fleet.traced TRACE KILL_AFTER KILL_WITHIN QUIET pyinfra's own arguments…
    python -m tests.fleet.traced

TRACE is the file that gets a line for each command on a host and each step on the controller. After the command
with the number KILL_AFTER the process ends itself with SIGKILL, as it does half-way through the standard input of
the command with the number KILL_WITHIN; 0 for neither. QUIET is how many seconds a run waits at least before it
revokes former passwords.

Without arguments it imports pyinfra and the project, and then forks runs with arguments as above (`tests/forks.py`).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path
from typing import Any

from pyinfra.connectors import docker, local, ssh, util
from pyinfra_cli.main import main

count = 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def record_start(kind: str, what: str) -> int:
    """Record the start of a command or step, and return its number. Commands on several hosts may overlap."""
    global count  # noqa: PLW0603 - one process, one run
    count += 1
    with trace.open("a") as file:
        file.write(f"{count} {kind} {what}\n")
    return count


def record_commands(run: Any, kind: str) -> Any:
    def wrapper(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self) is not self.host.connector_cls:
            return run(self, command, *args, **kwargs)  # the Docker connector works through the local one
        what = str(command).strip().splitlines()[0][:150]
        number = record_start(f"{kind}{'+' if kwargs.get('_stdin') else ''}", f"{self.host.name}: {what}")
        result = run(self, command, *args, **kwargs)
        if number == kill_after:
            die()
        return result

    return wrapper


def send_half_and_die(stdin: Any, buffer: Any) -> None:
    """Send a text, or only its first half and die: the receiver then sees an early end of its input."""
    if count != kill_within:
        write_stdin(stdin, buffer)
        return
    text = (stdin if isinstance(stdin, str) else "".join(stdin)).encode()
    buffer.write(text[: len(text) // 2])
    buffer.flush()
    die()


for connector in (local.LocalConnector, docker.DockerConnector, ssh.SSHConnector):
    connector.run_shell_command = record_commands(connector.run_shell_command, "host")  # type: ignore[method-assign]
write_stdin: Any = util.write_stdin
util.write_stdin = send_half_and_die
ssh.write_stdin = send_half_and_die

sys.path.insert(0, str(Path(__file__).parents[2]))
import tasks  # noqa: E402
from tasks.rotations import former_passwords  # noqa: E402 - after the connectors have been wrapped
from tasks.run import apply  # noqa: E402
from tests import forks  # noqa: E402

execute = apply._LocalCommand.execute


def record_step(self: Any, *args: Any) -> Any:
    number = record_start("controller", self.step.text)
    result = execute(self, *args)
    if number == kill_after:
        die()
    return result


apply._LocalCommand.execute = record_step  # type: ignore[method-assign, assignment]


def receive_arguments() -> list[str]:
    """Import all modules, then wait for requests; return the arguments of a requested run, in its fork."""
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return forks.serve()


given = sys.argv[1:] or receive_arguments()
trace, kill_after, kill_within = Path(given[0]), int(given[1]), int(given[2])
former_passwords.QUIET = float(given[3])  # type: ignore[attr-defined]
sys.argv = ["pyinfra", *given[4:]]
main()
