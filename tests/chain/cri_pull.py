#!/usr/bin/python3
"""Ask a container runtime for an image through the CRI, as tests/bench/programs/cri-pull does, without Go.

A gRPC call is an HTTP/2 request whose answer ends in trailers; curl can send and print both. The login appears in
no argument: it is read from standard input, and passed to curl in the same way.

    cri-pull unix:///run/containerd/containerd.sock registry.example/app:1 <LOGIN
    cri-pull --remove unix:///run/containerd/containerd.sock registry.example/app:1

LOGIN is one line, NAME:PASSWORD, or empty. Exit code 1: the runtime reports an error; 2: wrong usage.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import urllib.parse


def text(number: int, value: str | bytes) -> bytes:
    """Return a protobuf field with the wire type of strings and messages."""
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + _varint(rest) if rest else bytes([head])


def call(endpoint: str, method: str, message: bytes) -> str | None:
    """Call a method of the CRI's image service; return the runtime's error, or None if it succeeds."""
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "--unix-socket", endpoint.removeprefix("unix://"),
         "-H", "Content-Type: application/grpc", "-H", "TE: trailers", "--data-binary", "@-",
         "--output", "/dev/null", "--dump-header", "-",
         f"http://localhost/runtime.v1.ImageService/{method}"],
        input=struct.pack(">BI", 0, len(message)) + message, capture_output=True, check=False,
    )  # fmt: skip
    lines = (line.partition(": ") for line in done.stdout.decode().splitlines())
    trailers = {name.lower(): value.strip() for name, _, value in lines}
    if trailers.get("grpc-status") == "0":
        return None
    return urllib.parse.unquote(trailers.get("grpc-message", "")) or done.stderr.decode() or str(trailers)


def main() -> int:
    arguments = sys.argv[1:]
    remove = arguments[:1] == ["--remove"]
    if len(arguments) != 2 + remove:
        print(__doc__, file=sys.stderr)
        return 2
    endpoint, image = arguments[-2:]
    message = text(1, text(1, image))
    if not remove and (login := sys.stdin.read().rstrip("\n")):
        name, _, password = login.partition(":")
        message += text(2, text(1, name) + text(2, password))
    failed = call(endpoint, "RemoveImage" if remove else "PullImage", message)
    if failed:
        print(f"{image}: {failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
