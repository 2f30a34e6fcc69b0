"""Run pyinfra in forks of a process that has already imported it, since importing takes longer than a short run.

A module to be run this way imports what its runs share, calls `serve`, and continues in each fork with the
arguments that `serve` returns. `run` starts one process per module, requests a fork, and waits until it ends.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gevent.monkey import get_original

ROOT = Path(__file__).parents[1]


def run(module: str, arguments: list[str], seconds: float, **environment: str) -> tuple[int, str]:
    """Run `module` without a terminal; return its exit code, negative for a signal, and its stdout and stderr.

    After `seconds` the run is killed: `TimeoutError`. `environment` selects the process to fork, which has it.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        here, there = os.pipe()
        with open(here) as answers:
            given = [out.fileno(), err.fileno(), there]
            socket.send_fds(
                _fork_server(module, frozenset(environment.items())), [json.dumps(arguments).encode()], given
            )
            os.close(there)
            process = int(answers.readline())
            if not select.select([answers], [], [], seconds)[0]:
                os.kill(process, signal.SIGKILL)
                raise TimeoutError(f"{module} {arguments} took more than {seconds} s")
            exit_code = int(answers.readline())
        for stream in (out, err):
            stream.seek(0)
        return exit_code, out.read() + err.read()


@functools.cache
def _fork_server(module: str, environment: frozenset[tuple[str, str]]) -> socket.socket:
    """Start the process that forks; it ends when this process does, because the socket is then closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    variables: Mapping[str, str] = {**os.environ, **dict(environment)}
    with theirs:
        subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, env=variables, stdin=theirs.fileno())
    return ours


def serve() -> list[str]:
    """Fork for each request, and return the request's arguments in the fork. Exit when the requesting process ends."""
    # gevent's own fork would start its event loop, which must start in the run itself.
    fork, wait = get_original("os", "fork"), get_original("os", "waitpid")
    requests = socket.socket(fileno=os.dup(0))
    while True:
        message, given, _, _ = socket.recv_fds(requests, 65536, 3)
        if not message:
            os._exit(0)
        if fork() == 0:
            break
        for each in given:
            os.close(each)
    requests.close()
    out, err, answers = given
    if process := fork():  # this fork waits for the run, so that the server can fork others meanwhile
        os.write(answers, f"{process}\n".encode())
        _, status = wait(process, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(number, target)
    for each in given:
        os.close(each)
    return list(json.loads(message))
