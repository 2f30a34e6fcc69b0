"""The certificate authority and the registry's certificate (the leaf): what they hold, and when a new one is due.

The profile follows RFC 5280 and the CA/Browser Forum's baseline where a private CA has reason to. Tests read
the result with openssl and prove it by handshakes.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
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

from tasks.problem import Problem

ORGANIZATION = "Homelab Registry"
"""Stands in every subject of ours, so that our own certificates are told from other people's."""

BACKDATE = dt.timedelta(hours=1)
"""A host whose clock is a little behind must not find a new certificate "not yet valid" (moby#18632)."""

PRIVATE_NETWORKS = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598, in homelabs the addresses of overlay networks
    "127.0.0.0/8", "::1/128", "fc00::/7",  # RFC 1122, RFC 4291, RFC 4193
)  # fmt: skip

PRIVATE_TOP_LEVEL = frozenset(
    {"corp", "home", "internal", "intranet", "lan", "local", "localdomain", "private", "test"}
)
"""Top-level names that nobody can register (RFC 6762 appendix G, ICANN 2024-07-29, RFC 6761)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AuthorityError(Problem):
    """The certificate authority cannot issue what was asked for."""


@dataclass(frozen=True)
class Pair:
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> str:
        """The certificate as PEM text."""
        return pem(self.certificate)

    @property
    def key_pem(self) -> str:
        """The private key as PEM text (PKCS #8, not encrypted)."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the certificate, in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def read_pair(certificate_pem: str, key_pem: str) -> Pair:
    """Read a certificate and its key; `ValueError` where either cannot be read or they do not belong together."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    if key.public_key() != certificate.public_key():
        raise ValueError("certificate and key do not belong together")
    return Pair(certificate, key)


def make_authority(names: Iterable[str], days: int, now: dt.datetime) -> Pair:
    """Make a CA that can vouch for `names` (DNS names and addresses), their domains, and nothing public.

    `days` is its life from `now`. The critical name constraints keep a stolen key from speaking for anyone
    else; path length 1 leaves room for a successor that is cross-signed.
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
        .add_extension(x509.NameConstraints(_permitted(names), excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_leaf(authority: Pair, names: Iterable[str], days: int, now: dt.datetime) -> Pair:
    """Make the registry's certificate for `names`, good for `days` but never longer than its CA.

    Raises `AuthorityError` where a name lies outside the CA's constraints, or the CA has run out.
    """
    names = list(names)
    if outside := outside_constraints(authority.certificate, names):
        raise AuthorityError(
            f"{', '.join(outside)}: outside what the certificate authority may vouch for",
            "run deploys/rotate_ca.py: such a name needs a new certificate authority (a CA rollover)",
        )
    end = min(now + dt.timedelta(days=days), authority.certificate.not_valid_after_utc)
    if end <= now:
        raise AuthorityError(
            f"the certificate authority ran out on {end:%Y-%m-%d}",
            "run deploys/rotate_ca.py, which makes a new one and gives it to every host (a CA rollover)",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = names[0] if len(names[0]) <= 64 else names[0].split(".")[0]
    certificate = (
        _builder(_subject(common_name), authority.certificate.subject, key.public_key(), now - BACKDATE, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(_issued_by_key_of(authority.certificate), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_cross(old: Pair, new: Pair, now: dt.datetime) -> x509.Certificate | None:
    """Certify the key of a new CA by the old one: who knows the old one alone then trusts what the new one issues.

    It is good while both are, for what both may vouch for, and for leaves alone (path length 0). None where the old one
    has run out.
    """
    begin = max(old.certificate.not_valid_before_utc, new.certificate.not_valid_before_utc)
    end = min(old.certificate.not_valid_after_utc, new.certificate.not_valid_after_utc)
    if end <= max(begin, now):
        return None
    constraints = new.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    return (
        _builder(new.certificate.subject, old.certificate.subject, new.key.public_key(), begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(_issued_by_key_of(old.certificate), critical=False)
        .sign(old.key, hashes.SHA256())
    )


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM text."""
    return certificate.public_bytes(Encoding.PEM).decode()


def leaf_due(
    leaf: x509.Certificate,
    authority: x509.Certificate,
    names: Iterable[str],
    days: int,
    renew_before_days: int,
    now: dt.datetime,
) -> str | None:
    """Return why a new leaf is due, or None.

    One is due when names or CA are others than they were, or when `renew_before_days` or less are left; then
    only if a new leaf would live longer than the present one, which at the end of a CA's life it would not.
    """
    if not issued_by(leaf, authority):
        return "it was issued by another authority"
    present, wanted = set(leaf_names(leaf)), set(names)
    if present != wanted:
        changes = [f"without {name}" for name in sorted(present - wanted)]
        changes += [f"new: {name}" for name in sorted(wanted - present)]
        return f"its names have changed ({', '.join(changes)})"
    end = leaf.not_valid_after_utc
    longer = min(now + dt.timedelta(days=days), authority.not_valid_after_utc) > end
    if longer and now >= renew_on(leaf, renew_before_days):
        left = (end - now).days
        return f"it runs out on {end:%Y-%m-%d}" if left >= 0 else f"it ran out on {end:%Y-%m-%d}"
    return None


def renew_on(leaf: x509.Certificate, renew_before_days: int) -> dt.datetime:
    """Return the moment from which a run renews the leaf."""
    return leaf.not_valid_after_utc - dt.timedelta(days=renew_before_days)


def leaf_names(leaf: x509.Certificate) -> list[str]:
    """Return the names a leaf is for (its SANs), DNS names and addresses alike."""
    sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in sans]


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether the signature on `certificate` was made by the authority's key."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # ValueError, TypeError or InvalidSignature: it was not
        return False
    return True


def ours(certificate: x509.Certificate) -> bool:
    """Tell whether this project made the certificate, by the organization in its subject."""
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [attribute.value for attribute in found] == [ORGANIZATION]


def outside_constraints(authority: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the CA's name constraints do not permit (RFC 5280, section 4.2.1.10)."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = constraints.permitted_subtrees or []
    return [name for name in names if not any(_permits(subtree, name) for subtree in permitted)]


def domain_of(name: str) -> str:
    """Return the domain a CA made for `name` may vouch for: its parent, unless anyone could register below that."""
    parent = name.partition(".")[2]
    return parent if "." in parent or parent in PRIVATE_TOP_LEVEL else name


def address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `name` as an address, or None where it is a DNS name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _permitted(names: Iterable[str]) -> list[x509.GeneralName]:
    networks: list[Network] = [ipaddress.ip_network(network) for network in PRIVATE_NETWORKS]
    domains: list[str] = []
    for name in names:
        if (found := address(name)) is None:
            domains.append(domain_of(name))
        elif not any(found in network for network in networks):
            networks.append(ipaddress.ip_network(found))
    return [*map(x509.DNSName, dict.fromkeys(domains)), *map(x509.IPAddress, networks)]


def _permits(subtree: x509.GeneralName, name: str) -> bool:
    found = address(name)
    if isinstance(subtree, x509.IPAddress):
        network = ipaddress.ip_network(subtree.value)
        return found is not None and found in network
    return found is None and (name == subtree.value or name.endswith(f".{subtree.value}"))


def _general_name(name: str) -> x509.GeneralName:
    found = address(name)
    return x509.DNSName(name) if found is None else x509.IPAddress(found)


def _issued_by_key_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
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
    begin: dt.datetime,
    end: dt.datetime,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    """Begin a certificate with what all of ours have; the serial number is a random one if none is given."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
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
