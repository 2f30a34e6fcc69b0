"""Run on the registry host: send requests, given in base64, to the registry's own socket.

Takes `[socket, [request, ...]]` in JSON, returns `[[status, headers, body], ...]`.
"""

from __future__ import annotations

import json
import socket
import sys
from base64 import b64decode, b64encode
from http.client import HTTPResponse


def ask(path: str, request: bytes) -> tuple[int, dict[str, list[str]], str]:
    """Send one request over a connection of its own."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(request)
        answer = HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin-1"))
        answer.begin()
        headers: dict[str, list[str]] = {}
        for name, value in answer.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        return answer.status, headers, b64encode(answer.read()).decode()


def main() -> None:
    path, requests = json.load(sys.stdin)
    json.dump([ask(path, b64decode(each)) for each in requests], sys.stdout)


if __name__ == "__main__":
    main()
