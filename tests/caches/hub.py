"""A fake of the public registries on a host of the bench, and what makes another host take it for them.

The fake is tests/bench/programs/hub: Docker Hub, ghcr.io, quay.io and registry.k8s.io with their names, tokens,
redirects, limits and refusals. The public ones are never contacted by a test.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.bench.hosts import BenchHost
from tests.bench.programs import HUB

ACCOUNT, PASSWORD = "me", "hub-access-token"
"""The one account there, which may read the private repositories too."""

FOLDER = "/etc/hub"
TRUSTED = "/usr/local/share/ca-certificates/hub.crt"
MEGABYTE = 10**6


@dataclass(frozen=True)
class Made:
    """An image that the fake was given: its whole name as in `docker pull`, its tag, and its digests."""

    name: str
    tag: str
    digest: str
    layers: tuple[str, ...]

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def upstream(self) -> str:
        """Return the registry's name, such as `docker.io`."""
        return self.name.partition("/")[0]

    @property
    def repository(self) -> str:
        """Return the name without the registry's."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Counters:
    """What a registry was asked since the last reset. `manifest_gets` are what Docker Hub counts as pulls."""

    tokens: int
    account_tokens: int
    manifest_gets: int
    account_gets: int
    manifest_heads: int
    blobs: int
    cdn_requests: int
    cdn_bytes: int
    cdn_refused: int


@dataclass
class Hub:
    """The fake on a host. Its CA is made here, and is in no trust store until `trust` puts it there."""

    host: BenchHost
    address: str
    ca: str = field(repr=False)

    @classmethod
    def start(cls, host: BenchHost) -> Hub:
        """Start the fake on the host's address, ports 443 and 53. It ends with the host."""
        host.give(HUB)
        ca, leaf, key = _certificates(host.run("hub names").stdout.split())
        host.write(f"{FOLDER}/leaf.pem", leaf)
        host.write(f"{FOLDER}/key.pem", key, "0600")
        address = host.address
        host.run(
            f"nohup hub serve {address} {FOLDER}/leaf.pem {FOLDER}/key.pem >{FOLDER}/log 2>&1 </dev/null &"
        )
        host.wait_until("hub ask GET /counters", 20, "the fake of the registries")
        return cls(host, address, ca)

    def serve(self, host: BenchHost) -> None:
        """Make a host take the fake for the registries: its name server and its trust store. Nothing else resolves there."""
        host.write(TRUSTED, self.ca)
        host.run("update-ca-certificates >/dev/null 2>&1")
        host.run(f"echo nameserver {self.address} > /etc/resolv.conf")  # Docker mounts it: no rename

    def ask(self, method: str, path: str, body: object = None) -> Any:
        given = "" if body is None else json.dumps(body)
        said = self.host.run(f"hub ask {method} {path}", stdin=given, timeout=120).stdout
        return json.loads(said) if said else None

    def add(self, reference: str, *layers: int, **more: object) -> Made:
        """Make an image with layers of these sizes in bytes, such as `docker.io/library/x:1`, or move its tag to it.

        `seed` makes others of the same sizes, `private` is only for the account, and with `program`, a file of the
        fake's host, and `command`, its arguments, it runs.
        """
        return self.add_all({reference: layers}, **more)[0]

    def add_all(self, references: Mapping[str, tuple[int, ...]], **more: object) -> list[Made]:
        """Make several images at once."""
        names = [each.rsplit(":", 1) for each in references]
        wanted = [
            {"name": name, "tag": tag, "layers": list(layers), **more}
            for (name, tag), layers in zip(names, references.values(), strict=True)
        ]
        made = self.ask("POST", "/images", wanted)
        return [
            Made(name, tag, each["digest"], tuple(each["layers"]))
            for (name, tag), each in zip(names, made, strict=True)
        ]

    def add_runnable(self, reference: str, says: str) -> Made:
        """Make an image whose containers print a line."""
        return self.add(reference, program=f"/usr/local/bin/{HUB.name}", command=["say", says])

    def behave(self, **settings: object) -> None:
        """Set how it behaves, see `settings` in control.go; what is not named is as after the start."""
        self.ask("POST", "/settings", settings)

    @contextmanager
    def behaving(self, **settings: object) -> Iterator[None]:
        """Let it behave so while the block runs."""
        self.behave(**settings)
        try:
            yield
        finally:
            self.behave()

    def reset(self) -> None:
        """Set all counters to 0."""
        self.ask("POST", "/reset")

    def counters(self, upstream: str = "docker.io") -> Counters:
        """Return the counters of a registry."""
        return Counters(**self.ask("GET", "/counters")["registries"][upstream])

    def asked_for(self) -> list[str]:
        """Return the repositories that were asked for, as whole names."""
        return list(self.ask("GET", "/counters")["repositories"])

    def unknown_names(self) -> list[str]:
        """Return the names that the name server was asked for and does not have."""
        return list(self.ask("GET", "/counters")["unknown_names"])


def _certificates(names: list[str]) -> tuple[str, str, str]:
    """Return a new CA, and a leaf for these names with its key, all in PEM."""
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fake of public registries")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=2))
        )

    ca = (
        builder(issuer, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        builder(x509.Name([]), key.public_key())
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in sorted(set(names))]), critical=True
        )
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (
        ca.public_bytes(Encoding.PEM).decode(),
        (leaf.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)).decode(),
        private.decode(),
    )
