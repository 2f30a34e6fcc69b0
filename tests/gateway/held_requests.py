"""Requests of one client, without a right password, that hold as much of the gateway's memory as they can."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.gateway.gateway import NAME, Gateway

DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
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
def http2(gateway: Gateway, count: int, head: Sequence[tuple[str, str]], body: int) -> Iterator[None]:
    """Hold open `count` requests with as much of a body as the gateway takes, whose answers are not taken."""
    fields = b"".join(
        literal(*each)
        for each in (
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", NAME),
            (":path", "/v2/held/blobs/uploads/u"),
            *head,
        )
    )
    with ExitStack() as stack:
        connections = []
        for first in range(0, count, STREAMS):
            line = stack.enter_context(connect(gateway, "h2"))
            connections.append(line)
            # No answer fits into a window of 0: nginx keeps it.
            settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
            for stream in range(1, 2 * min(STREAMS, count - first), 2):
                line.sendall(frame(HEADERS, END_HEADERS, stream, fields))
                for _ in range(0, body, 16384):
                    line.sendall(frame(DATA, 0, stream, b"x" * min(16384, body)))
        yield
