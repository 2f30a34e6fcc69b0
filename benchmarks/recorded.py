"""Run pyinfra, and record every command on a host over SSH, with its output.

    python -m benchmarks.recorded FILE PYINFRA_ARGUMENTS…

FILE is JSON: by host, a list of [command, lines of standard output]. A file transfer is recorded as a command without
output.
"""

from __future__ import annotations

import atexit
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from pyinfra.connectors.ssh import SSHConnector
from pyinfra_cli.main import main

recorded: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
run_shell_command = SSHConnector.run_shell_command


def _record_command(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
    done, output = run_shell_command(self, command, *args, **kwargs)
    text = command if isinstance(command, str) else command.get_masked_value()
    recorded[self.host.name].append((text, list(output.stdout_lines)))
    return done, output


def _record_transfer(method: Any) -> Any:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorded[self.host.name].append((method.__name__, []))
        return method(self, *args, **kwargs)

    return wrapper


SSHConnector.run_shell_command = _record_command  # type: ignore[method-assign]
SSHConnector.put_file = _record_transfer(SSHConnector.put_file)  # type: ignore[method-assign]
SSHConnector.get_file = _record_transfer(SSHConnector.get_file)  # type: ignore[method-assign]
file = Path(sys.argv[1])
atexit.register(lambda: file.write_text(json.dumps(recorded)))
sys.argv = ["pyinfra", *sys.argv[2:]]
main()
