"""Requests of one client, without a right password, that hold as much of the gateway's memory as they can."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.gateway.gateway import NAME, Gateway

DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_HEADERS = 4
STREAMS = 128
"""Requests of one HTTP/2 connection: nginx's http2_max_concurrent_streams."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return an HTTP/2 frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """Return a header field as HPACK encodes it without a table (RFC 7541, section 6.2.2)."""
    return b"\0" + b"".join(_length(len(text)) + text.encode() for text in (name, value))


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    number, encoded = number - 127, [127]
    while number >= 128:
        encoded.append(number % 128 + 128)
        number //= 128
    return bytes([*encoded, number])


def connect(gateway: Gateway, protocol: str) -> ssl.SSLSocket:
    """Open a connection for HTTP/1.1 or HTTP/2 (`h2`)."""
    trust = ssl.create_default_context(cafile=gateway.ca)
    trust.set_alpn_protocols([protocol])
    plain = socket.create_connection((gateway.address, 443), timeout=60)
    return trust.wrap_socket(plain, server_hostname=NAME)


@contextmanager
def http2(
    gateway: Gateway, count: int, path: str, head: Sequence[tuple[str, str]], body: int
) -> Iterator[None]:
    """Hold open `count` PUTs with as much of a body as the gateway takes, whose answers are not taken.

    The block runs once each has an answer.
    """
    fields = b"".join(
        literal(*each)
        for each in (
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", NAME),
            (":path", path),
            *head,
        )
    )
    with ExitStack() as stack:
        connections = []
        for first in range(0, count, STREAMS):
            line = stack.enter_context(connect(gateway, "h2"))
            # No body of an answer fits into a window of 0: nginx keeps it.
            settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
            streams = set(range(1, 2 * min(STREAMS, count - first), 2))
            for stream in sorted(streams):
                line.sendall(frame(HEADERS, END_HEADERS, stream, fields))
                for _ in range(0, body, 16384):
                    line.sendall(frame(DATA, 0, stream, b"x" * min(16384, body)))
            connections.append((line, streams))
        for line, streams in connections:
            _await_answers(line, streams)
        yield


def _await_answers(line: ssl.SSLSocket, streams: set[int]) -> None:
    """Wait until each of these streams has the head of an answer.

    nginx collects heads in a buffer that it sends when 16 kB are full or a body ends, which does not happen here. An
    answer to a PING empties it too (ngx_ssl_send_chain, "flush").
    """
    waiting, end = set(streams), time.monotonic() + 120
    while waiting:
        assert time.monotonic() < end, f"no answer to {len(waiting)} of {len(streams)} requests"
        line.sendall(frame(PING, 0, 0, b"8 octets"))
        kind = HEADERS
        while kind != PING:
            kind, stream = _read_frame(line)
            if kind == HEADERS:
                waiting.discard(stream)
        time.sleep(0.05)


def _read_frame(line: ssl.SSLSocket) -> tuple[int, int]:
    """Read a frame; return its type and stream."""
    head = _read(line, 9)
    _read(line, int.from_bytes(head[:3], "big"))
    return head[3], int.from_bytes(head[5:], "big")


def _read(line: ssl.SSLSocket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        came = line.recv(count - len(read))
        assert came, "the gateway ended the connection"
        read += came
    return read
