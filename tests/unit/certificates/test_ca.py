"""The certificates as openssl reads and verifies them, rather than the library that made them."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tasks.certificates import ca
from tasks.certificates.ca import AuthorityError, KeyPair

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return ca.make_authority(NAMES, 3650, NOW)


@pytest.fixture(scope="module")
def leaf(authority: KeyPair) -> KeyPair:
    return ca.make_leaf(authority, NAMES, 397, NOW)


def openssl(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def shown(pair: KeyPair) -> str:
    return openssl("x509", "-noout", "-text", text=pair.certificate_pem)


def section(text: str, title: str) -> str:
    """Return what openssl prints below an extension's title, up to the next line of the same depth."""
    match = re.search(rf"( +)X509v3 {title}: ?(critical)?\n((?:\1 +.*\n)*)", text)
    assert match, f"no {title} in:\n{text}"
    return f"{match[2] or ''}\n" + "\n".join(line.strip() for line in match[3].splitlines())


def test_authority_profile_as_openssl_reads_it(authority: KeyPair) -> None:
    text = shown(authority)
    assert section(text, "Basic Constraints") == "critical\nCA:TRUE, pathlen:1"
    assert section(text, "Key Usage") == "critical\nCertificate Sign, CRL Sign"
    assert section(text, "Extended Key Usage") == "\nTLS Web Server Authentication"
    constraints = section(text, "Name Constraints")
    assert constraints.endswith("email:invalid\nURI:invalid")
    assert constraints.startswith("critical\nPermitted:\nDNS:homelab.local\n")
    for network in ("10.0.0.0/255.0.0.0", "172.16.0.0/255.240.0.0", "192.168.0.0/255.255.0.0"):
        assert f"IP:{network}" in constraints
    assert "Public Key Algorithm: id-ecPublicKey" in text
    assert "NIST CURVE: P-256" in text
    assert "Not Before: Mar  1 11:00:00 2026 GMT" in text
    assert "Not After : Feb 27 12:00:00 2036 GMT" in text
    subject = re.search(r"Subject: (.*)", text)
    assert subject
    assert subject[1].startswith("O = Homelab Registry, CN = Homelab Registry CA")


def test_leaf_profile_as_openssl_reads_it(leaf: KeyPair) -> None:
    text = shown(leaf)
    assert section(text, "Basic Constraints") == "critical\nCA:FALSE"
    assert section(text, "Key Usage") == "critical\nDigital Signature"
    assert section(text, "Extended Key Usage") == "\nTLS Web Server Authentication"
    assert (
        section(text, "Subject Alternative Name") == "\nDNS:registry.homelab.local, IP Address:192.168.1.10"
    )
    assert "Not Before: Mar  1 11:00:00 2026 GMT" in text
    assert "Not After : Apr  2 12:00:00 2027 GMT" in text


def test_serials_are_random_and_long(authority: KeyPair) -> None:
    serials = {ca.make_leaf(authority, NAMES, 397, NOW).certificate.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert min(serials) > 2**100


def verify(authority: KeyPair, leaf: KeyPair, folder: Path, *options: str) -> str:
    (folder / "ca.pem").write_text(authority.certificate_pem)
    (folder / "leaf.pem").write_text(leaf.certificate_pem)
    at = str(int(NOW.timestamp()) + 60)
    return openssl(
        "verify", "-x509_strict", "-purpose", "sslserver", "-attime", at,
        "-CAfile", f"{folder}/ca.pem", *options, f"{folder}/leaf.pem",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "good"),
    [
        ("-verify_hostname", "registry.homelab.local", True),
        ("-verify_ip", "192.168.1.10", True),
        ("-verify_hostname", "other.homelab.local", False),
        ("-verify_ip", "192.168.1.11", False),
    ],
)
def test_openssl_accepts_the_leaf_for_its_names_only(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path, option: str, value: str, good: bool
) -> None:
    assert verify(authority, leaf, tmp_path, option, value).endswith("leaf.pem: OK\n") is good


def test_openssl_enforces_the_name_constraints(
    authority: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ca, "not_permitted", lambda *_: [])
    for name in ("www.example.org", "93.184.216.34", "homelab.local.example.org"):
        misissued = ca.make_leaf(authority, [name], 397, NOW)
        assert "permitted subtree violation" in verify(authority, misissued, tmp_path), name


@pytest.mark.parametrize(
    ("usage", "sans", "purpose", "refusal"),
    [
        (ExtendedKeyUsageOID.SERVER_AUTH, [], "sslserver", None),
        (ExtendedKeyUsageOID.CLIENT_AUTH, [], "sslclient", "unsuitable certificate purpose"),
        (ExtendedKeyUsageOID.EMAIL_PROTECTION, [], "smimesign", "unsuitable certificate purpose"),
        (
            ExtendedKeyUsageOID.SERVER_AUTH,
            [x509.RFC822Name("a@bank.example")],
            "sslserver",
            "permitted subtree",
        ),
        (
            ExtendedKeyUsageOID.SERVER_AUTH,
            [x509.UniformResourceIdentifier("https://bank.example/")],
            "sslserver",
            "permitted subtree",
        ),
    ],
)
def test_a_stolen_ca_key_is_good_for_tls_servers_alone(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    usage: x509.ObjectIdentifier, sans: list[x509.GeneralName], purpose: str, refusal: str | None,
) -> None:  # fmt: skip
    original = ca._general_name
    monkeypatch.setattr(ca, "not_permitted", lambda *_: [])
    monkeypatch.setattr(ca, "SERVERS_ONLY", x509.ExtendedKeyUsage([usage]))
    monkeypatch.setattr(ca, "_general_name", lambda name: original(name) if isinstance(name, str) else name)
    misissued = ca.make_leaf(authority, [*NAMES, *sans], 397, NOW)  # type: ignore[list-item]
    said = verify(authority, misissued, tmp_path, "-purpose", purpose)
    assert said.endswith("leaf.pem: OK\n") if refusal is None else refusal in said


def test_a_leaf_for_a_name_that_is_not_permitted_is_an_error_with_that_name(authority: KeyPair) -> None:
    with pytest.raises(AuthorityError, match=r"^registry\.example\.org: not permitted .*rollover"):
        ca.make_leaf(authority, [*NAMES, "registry.example.org"], 397, NOW)


def test_a_new_name_in_the_same_domain_needs_no_new_authority(authority: KeyPair) -> None:
    names = ["registry.homelab.local", "images.homelab.local", "10.9.8.7", "127.0.0.1"]
    assert ca.subject_alt_names(ca.make_leaf(authority, names, 397, NOW).certificate) == names


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = ca.make_authority(NAMES, 100, NOW)
    leaf = ca.make_leaf(authority, NAMES, 397, NOW)
    assert leaf.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(AuthorityError, match="expired on 2026-06-09"):
        ca.make_leaf(authority, NAMES, 397, NOW + dt.timedelta(days=101))


def test_a_certificate_with_the_key_of_another_is_an_error(authority: KeyPair, leaf: KeyPair) -> None:
    with pytest.raises(ValueError, match="does not belong to the certificate"):
        ca.read_key_pair(authority.certificate_pem, leaf.key_pem)


def test_is_ours_recognizes_the_certificates_made_here(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/O=Somebody/CN=registry.homelab.local", "-keyout", f"{tmp_path}/k", "-out", f"{tmp_path}/c")  # fmt: skip
    other = x509.load_pem_x509_certificate((tmp_path / "c").read_bytes())
    assert [ca.is_ours(c) for c in (authority.certificate, leaf.certificate, other)] == [True, True, False]


def test_repr_does_not_show_the_private_key(authority: KeyPair) -> None:
    assert "PRIVATE" not in repr(authority)
    assert "key" not in repr(authority)
