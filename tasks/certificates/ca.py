"""Make and read certificates: the certificate authority (CA) and the registry's own certificate (the leaf).

The extensions follow RFC 5280 and, as far as they make sense for a private CA, the CA/Browser Forum's Baseline
Requirements. The tests check the certificates with openssl and with TLS handshakes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tasks.certificates.name_constraints import not_permitted, parse_address, permitted_subtrees
from tasks.problem import Problem

ORGANIZATION = "Homelab Registry"
"""The organization in the subject of every certificate made here; `is_ours` recognizes them by it."""

BACKDATE = dt.timedelta(hours=1)
"""How far `notBefore` lies in the past: to a host whose clock is slow, a new certificate would otherwise be "not yet
valid" (moby#18632)."""

SERVERS_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
"""The extended key usage of all certificates. In a CA it limits what it issues (Baseline Requirements, 7.1.2.10.6); not
critical, as there too, for clients that do not know it in a CA."""


class AuthorityError(Problem):
    """The certificate authority cannot issue the requested certificate."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> str:
        """The certificate as PEM text."""
        return to_pem(self.certificate)

    @property
    def key_pem(self) -> str:
        """The private key as PEM text (PKCS #8, not encrypted)."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def read_key_pair(certificate_pem: str, key_pem: str) -> KeyPair:
    """Read a certificate and its private key; raise `ValueError` if either is unreadable or they do not match."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    if key.public_key() != certificate.public_key():
        raise ValueError("the private key does not belong to the certificate")
    return KeyPair(certificate, key)


def make_authority(names: Iterable[str], days: int, now: dt.datetime) -> KeyPair:
    """Make a CA for `names` (DNS names and IP addresses), valid for `days` from `now`.

    Its critical name constraints permit the names, their domains and private networks only, and its extended key usage
    TLS servers only, so that a stolen key cannot impersonate anyone else. Path length 1 lets it cross-sign its
    successor.
    """
    names = list(names)
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # 64 characters is the upper bound of a common name (RFC 5280, appendix A.1).
    subject = _subject(f"{ORGANIZATION} CA {serial:040x}"[:34] + f" for {names[0]}"[:30])
    certificate = (
        _builder(subject, subject, key.public_key(), now - BACKDATE, now + dt.timedelta(days=days), serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(SERVERS_ONLY, critical=False)
        .add_extension(x509.NameConstraints(permitted_subtrees(names), excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate, key)


def make_leaf(authority: KeyPair, names: Iterable[str], days: int, now: dt.datetime) -> KeyPair:
    """Make the registry's certificate for `names`, valid for `days` but never longer than its CA.

    Raise `AuthorityError` if the CA has expired or its name constraints do not permit a name.
    """
    names = list(names)
    if excluded := not_permitted(authority.certificate, names):
        raise AuthorityError(
            f"{', '.join(excluded)}: not permitted by the name constraints of the certificate authority",
            "run make rotate-ca, which makes a new certificate authority that permits it (a CA rollover)",
        )
    end = min(now + dt.timedelta(days=days), authority.certificate.not_valid_after_utc)
    if end <= now:
        raise AuthorityError(
            f"the certificate authority expired on {end:%Y-%m-%d}",
            "run make rotate-ca, which makes a new one and installs it on every host (a CA rollover)",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = names[0] if len(names[0]) <= 64 else names[0].split(".")[0]
    certificate = (
        _builder(_subject(common_name), authority.certificate.subject, key.public_key(), now - BACKDATE, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(SERVERS_ONLY, critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(_authority_key_identifier(authority.certificate), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return KeyPair(certificate, key)


def cross_sign(old: KeyPair, new: KeyPair, now: dt.datetime) -> x509.Certificate | None:
    """Sign the new CA's key with the old CA, so that clients that trust only the old CA accept what the new one issues.

    The cross-certificate is valid while both CAs are, for names that both permit, and for leaves only (path length 0).
    Return None if one of them is not valid.
    """
    if why_invalid(old.certificate, now) or why_invalid(new.certificate, now):
        return None
    begin = max(old.certificate.not_valid_before_utc, new.certificate.not_valid_before_utc)
    end = min(old.certificate.not_valid_after_utc, new.certificate.not_valid_after_utc)
    constraints = new.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    return (
        _builder(new.certificate.subject, old.certificate.subject, new.key.public_key(), begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(SERVERS_ONLY, critical=False)
        .add_extension(constraints, critical=True)
        .add_extension(_authority_key_identifier(old.certificate), critical=False)
        .sign(old.key, hashes.SHA256())
    )


def to_pem(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM text."""
    return certificate.public_bytes(Encoding.PEM).decode()


def subject_alt_names(leaf: x509.Certificate) -> list[str]:
    """Return a leaf's SANs: its DNS names and IP addresses."""
    sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in sans]


def why_invalid(certificate: x509.Certificate, now: dt.datetime) -> str | None:
    """Return why no client accepts a certificate at `now`, as the end of a sentence; None if it is valid then."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return f"is not valid before {begin:%Y-%m-%d %H:%M} UTC (the clock was ahead when it was made)"
    return f"expired on {end:%Y-%m-%d}" if now >= end else None


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Return whether the CA's key signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # ValueError, TypeError or InvalidSignature: another key did
        return False
    return True


def is_ours(certificate: x509.Certificate) -> bool:
    """Return whether this project made the certificate, judging by the organization in its subject."""
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [attribute.value for attribute in organizations] == [ORGANIZATION]


def _general_name(name: str) -> x509.GeneralName:
    address = parse_address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    not_before: dt.datetime,
    not_after: dt.datetime,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    """Return a builder with the fields that all certificates share; without `serial`, the serial number is random."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
