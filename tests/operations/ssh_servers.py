"""Servers on this machine's loopback address that no run can log in to, each in its own way."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_FAILED_CONNECT_FAILED

ADDRESS = "127.0.0.1"
HOST_KEY = paramiko.ECDSAKey.generate()


def close(connection: socket.socket) -> None:
    """Close at once."""


def reset(connection: socket.socket) -> None:
    """Reset at once, as a firewall does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def keep_silent(connection: socket.socket) -> None:
    """Read, and say nothing."""
    while connection.recv(1000):
        pass


def say(line: bytes) -> Callable[[socket.socket], None]:
    """Return the server that says one line, and then ends."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(line + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        keep_silent(connection)

    return answer


class RefuseEveryLogin(paramiko.ServerInterface):
    """An SSH server that offers `methods` and accepts no login."""

    def __init__(self, methods: str) -> None:
        self.methods = methods

    def get_allowed_auths(self, username: str) -> str:
        return self.methods


def refuse_logins(methods: str) -> Callable[[socket.socket], None]:
    """Return the SSH server that offers these methods (comma-separated) and accepts no login."""

    def answer(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.add_server_key(HOST_KEY)
        transport.start_server(event=threading.Event(), server=RefuseEveryLogin(methods))
        transport.join()

    return answer


class DropAfterLogin(paramiko.ServerInterface):
    """An SSH server that lets everyone in, and ends the connection at the first command, as a host that reboots."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self.transport = transport

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.transport.close()
        return OPEN_FAILED_CONNECT_FAILED


def drop(connection: socket.socket) -> None:
    """Be that server."""
    transport = paramiko.Transport(connection)
    transport.add_server_key(HOST_KEY)
    transport.start_server(event=threading.Event(), server=DropAfterLogin(transport))
    transport.join()


SERVERS = {
    "drops": drop,
    "closes": close,
    "resets": reset,
    "silent": keep_silent,
    "web": say(b"HTTP/1.1 400 Bad Request"),
    "busy": say(b"Exceeded MaxStartups"),
    "old": say(b"SSH-1.5-ancient"),
    "keys": refuse_logins("publickey"),
    "passwords": refuse_logins("password"),
}


@contextmanager
def ports() -> Iterator[dict[str, int]]:
    """Run them all; yield their ports, and those at which nothing listens (`none`) or accepts (`full`)."""
    with ExitStack() as stack:
        found = {}
        for name, answer in SERVERS.items():
            listener = stack.enter_context(socket.create_server((ADDRESS, 0)))
            threading.Thread(target=_serve, args=(listener, answer), daemon=True).start()
            found[name] = listener.getsockname()[1]
        # What is bound and does not listen refuses connections, and nobody else gets the port.
        unused = stack.enter_context(socket.socket())
        unused.bind((ADDRESS, 0))
        found["none"] = unused.getsockname()[1]
        full = stack.enter_context(socket.create_server((ADDRESS, 0), backlog=0))
        found["full"] = full.getsockname()[1]
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((ADDRESS, found["full"]))
        yield found


def _serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the end of the test
            return
        threading.Thread(target=_answer, args=(connection, answer), daemon=True).start()


def _answer(connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    try:
        with connection:
            answer(connection)
    except (OSError, EOFError, paramiko.SSHException):
        pass  # the run has had enough
