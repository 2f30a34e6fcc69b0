"""The gateway under test, and clients for it: a socket for requests that no client would send, and crane on the host."""

from __future__ import annotations

import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPResponse
from pathlib import Path

from tests.bench import programs
from tests.bench.hosts import BenchHost, Result
from tests.fleet.deployment import Deployment

NAME = "registry.homelab.local"
SOCKET = "/etc/homelab-registry/run/registry.sock"
"""The socket on the host on which the registry itself listens."""

ACCOUNTS = {"admin": "admin", "push": "ci", "pull": "cluster"}
"""The account of each role, as the settings have it."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: header names are in lower case, and a repeated header has all its values."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return the one value of a header, or None if it is missing."""
        values = self.headers.get(name.lower(), [])
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


@dataclass
class Gateway:
    """A deployed registry: the host it is on, its deployment, and the `version` of distribution (2.8 or 3.1).

    `source` has the settings for where its images come from.
    """

    host: BenchHost
    deployment: Deployment
    version: str
    source: Mapping[str, object] = field(default_factory=dict)

    def deploy(self, **settings: object) -> None:
        """Deploy with these settings and those that the tests need."""
        own = {"registry_state_dir": str(self.deployment.store.folder), **self.source}
        self.deployment.set(**own, **settings)
        ran = self.deployment.run()
        assert ran.exit_code == 0, ran.output

    @cached_property
    def address(self) -> str:
        """Return the host's address."""
        return self.host.address

    @property
    def ca(self) -> Path:
        """Return the path of the CA to trust."""
        return self.deployment.store.folder / "ca.crt"

    def password(self, role: str) -> str:
        """Return the generated password of the account with a role."""
        path = self.deployment.store.folder / "accounts" / f"{ACCOUNTS[role]}.password"
        return path.read_text().rstrip("\n")

    def authorization(self, role: str) -> str:
        """Return the header's value for the account with a role."""
        return basic(ACCOUNTS[role], self.password(role))

    def connect(self) -> ssl.SSLSocket:
        """Open a connection that checks the certificate, for HTTP/1.1."""
        plain = socket.create_connection((self.address, 443), timeout=60)
        return ssl.create_default_context(cafile=self.ca).wrap_socket(plain, server_hostname=NAME)

    def send(self, request: bytes) -> Answer:
        """Send exactly these bytes, a whole request with its head, and read one answer."""
        with self.connect() as connection:
            answer, _ = exchange(connection, request)
            return answer

    def request(
        self,
        method: str,
        target: str,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send a request whose target is not normalized."""
        once = {"Connection": "close", **(headers or {})}
        return self.send(request_bytes(method, target, authorization, once, body))

    def crane(self, role: str, command: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run crane on the host, which trusts the registry, as the account with a role."""
        folder = f"/root/crane-{role}"
        auths = {NAME: {"auth": self.authorization(role).removeprefix("Basic ")}}
        self.host.write(f"{folder}/config.json", json.dumps({"auths": auths}), "0600")
        if self.host.run("command -v crane", check=False).exit_code:
            self.host.give(programs.CRANE)
        environment = {"DOCKER_CONFIG": folder, "SSL_CERT_FILE": f"/etc/docker/certs.d/{NAME}/ca.crt"}
        return self.host.run(f"crane {command}", check=check, stdin=stdin, environment=environment)


def request_bytes(
    method: str,
    target: str,
    authorization: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """Return a request's bytes; its connection stays open unless `headers` say otherwise."""
    head = {"Host": NAME}
    if authorization is not None:
        head["Authorization"] = authorization
    if body or method in {"POST", "PUT", "PATCH"}:
        head["Content-Length"] = str(len(body))
    lines = [f"{name}: {value}" for name, value in (head | dict(headers or {})).items()]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode() + body


def exchange(connection: ssl.SSLSocket, sent: bytes) -> tuple[Answer, bool]:
    """Send exactly these bytes and read one answer; return it, and whether the server closes the connection."""
    connection.sendall(sent)
    came = HTTPResponse(connection, method=sent.split(b" ", 1)[0].decode("latin-1"))
    came.begin()
    headers: dict[str, list[str]] = {}
    for name, value in came.getheaders():
        headers.setdefault(name.lower(), []).append(value)
    return Answer(came.status, headers, came.read()), came.will_close


def basic(account: str, password: str) -> str:
    """Return an Authorization header's value (RFC 7617)."""
    return "Basic " + b64encode(f"{account}:{password}".encode()).decode()
