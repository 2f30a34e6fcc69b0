"""Runs of pyinfra's command line, without a terminal, on hosts that are fake.

Importing pyinfra and the libraries takes longer than such a run, so that one process does it once, and each run is a
fork of it. Our own modules are imported by each run, as they are by a user's.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import runpy
import select
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = ["pyinfra_cli.main", "bcrypt", "cryptography.x509", "jinja2", "pydantic", "ruamel.yaml", "tomlkit"]  # fmt: skip
SECONDS = 120
"""What a run may take."""


@dataclass(frozen=True)
class Ran:
    """A run that has ended; `output` is without colours."""

    exit_code: int
    output: str

    @property
    def refusal(self) -> list[str]:
        """The lines that say why it may not begin."""
        _, found, after = self.output.partition("--> pyinfra error in ")
        return [line.strip() for line in after.splitlines()[1:] if line.strip()] if found else []


def pyinfra(*arguments: str) -> Ran:
    """Run the real command line, without a terminal."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        ended, end = os.pipe()
        with open(ended) as answer:
            given = [out.fileno(), err.fileno(), end]
            socket.send_fds(_forker(), [json.dumps(arguments).encode()], given)
            os.close(end)
            assert select.select([answer], [], [], SECONDS)[0], f"{arguments} took more than {SECONDS} s"
            exit_code = int(answer.read())
        for stream in (out, err):
            stream.seek(0)
        return Ran(exit_code, re.sub(r"\x1b\[[0-9;]*m", "", out.read() + err.read()))


@functools.cache
def _forker() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "PYINFRA_FAKE_DELAY": "0", "PYINFRA_FAKE_DELAY_JITTER": "0"}
    with theirs:
        subprocess.Popen([sys.executable, "-m", __name__], cwd=ROOT, env=environment, stdin=theirs.fileno())
    return ours


def _fork_runs() -> list[str]:
    """Fork for each request on standard input; in a fork that is to be a run, return its arguments."""
    requests = socket.socket(fileno=os.dup(0))
    while True:
        message, given, _, _ = socket.recv_fds(requests, 65536, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            break
        for each in given:
            os.close(each)
    requests.close()
    out, err, end = given
    if run := os.fork():
        _, status = os.waitpid(run, 0)
        os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for each in given:
        os.close(each)
    return list(json.loads(message))


if __name__ == "__main__":
    for each in LIBRARIES:
        importlib.import_module(each)
    sys.argv = ["pyinfra", *_fork_runs()]
    runpy.run_module("pyinfra", run_name="__main__", alter_sys=True)
