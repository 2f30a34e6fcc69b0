"""The CA of the bench's cluster, valid for one day, and the certificates that it issues to each component."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: str
    key: str


class ClusterAuthority:
    """The one CA of a cluster (kubernetes.io, "PKI certificates and requirements"). Its key exists only in memory."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench-cluster-ca")])
        builder = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = self._sign(builder)

    def client(self, user: str, groups: Iterable[str] = ()) -> Pair:
        """Issue a client certificate that identifies `user`, a member of `groups`, to the API server."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        name = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        return self._issue(name, [ExtendedKeyUsageOID.CLIENT_AUTH])

    def server(self, names: Iterable[str]) -> Pair:
        """Issue a server certificate for names and addresses; the first is its subject."""
        names = list(names)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return self._issue(subject, [ExtendedKeyUsageOID.SERVER_AUTH], names)

    def kubeconfig(self, server: str, user: str, groups: Iterable[str] = ()) -> str:
        """Return a kubeconfig for `user`, in JSON, which is also YAML."""
        pair = self.client(user, groups)
        shown = {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }
        reached = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bench", "cluster": reached}],
            "users": [{"name": user, "user": shown}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
            "current-context": "bench",
        }
        return json.dumps(config, indent=2) + "\n"

    def _issue(
        self, subject: x509.Name, usages: list[x509.ObjectIdentifier], names: Iterable[str] = ()
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(subject, key.public_key()).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if alternatives := [_general_name(name) for name in names]:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return Pair(self._sign(builder), pem(key))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - dt.timedelta(minutes=5),
            not_valid_after=now + LIFE,
        )

    def _sign(self, builder: x509.CertificateBuilder) -> str:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key in the PEM format that Kubernetes also accepts for the service accounts' key."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
