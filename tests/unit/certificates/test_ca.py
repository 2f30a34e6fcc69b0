"""The profile is read with openssl and proven by its verifier, not by the library that made the certificates."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest

from tasks.certificates import ca as authority
from tasks.certificates.ca import AuthorityError, Pair

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]


@pytest.fixture(scope="module")
def ca() -> Pair:
    return authority.make_authority(NAMES, 3650, NOW)


@pytest.fixture(scope="module")
def leaf(ca: Pair) -> Pair:
    return authority.make_leaf(ca, NAMES, 397, NOW)


def openssl(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def shown(pair: Pair) -> str:
    return openssl("x509", "-noout", "-text", text=pair.certificate_pem)


def section(text: str, title: str) -> str:
    """What openssl prints below an extension's title, up to the next line of the same depth."""
    match = re.search(rf"( +)X509v3 {title}: ?(critical)?\n((?:\1 +.*\n)*)", text)
    assert match, f"no {title} in:\n{text}"
    return f"{match[2] or ''}\n" + "\n".join(line.strip() for line in match[3].splitlines())


def test_authority_profile_as_openssl_reads_it(ca: Pair) -> None:
    text = shown(ca)
    assert section(text, "Basic Constraints") == "critical\nCA:TRUE, pathlen:1"
    assert section(text, "Key Usage") == "critical\nCertificate Sign, CRL Sign"
    constraints = section(text, "Name Constraints")
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


def test_leaf_profile_as_openssl_reads_it(leaf: Pair) -> None:
    text = shown(leaf)
    assert section(text, "Basic Constraints") == "critical\nCA:FALSE"
    assert section(text, "Key Usage") == "critical\nDigital Signature"
    assert section(text, "Extended Key Usage") == "\nTLS Web Server Authentication"
    assert (
        section(text, "Subject Alternative Name") == "\nDNS:registry.homelab.local, IP Address:192.168.1.10"
    )
    assert "Not Before: Mar  1 11:00:00 2026 GMT" in text
    assert "Not After : Apr  2 12:00:00 2027 GMT" in text


def test_serials_are_random_and_long(ca: Pair) -> None:
    serials = {authority.make_leaf(ca, NAMES, 397, NOW).certificate.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert min(serials) > 2**100


def verify(ca: Pair, leaf: Pair, folder: Path, *options: str) -> str:
    (folder / "ca.pem").write_text(ca.certificate_pem)
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
def test_openssl_accepts_the_leaf_for_its_names_alone(
    ca: Pair, leaf: Pair, tmp_path: Path, option: str, value: str, good: bool
) -> None:
    assert verify(ca, leaf, tmp_path, option, value).endswith("leaf.pem: OK\n") is good


def test_openssl_enforces_the_name_constraints(
    ca: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "outside_constraints", lambda *_: [])
    for name in ("www.example.org", "93.184.216.34", "homelab.local.example.org"):
        stolen = authority.make_leaf(ca, [name], 397, NOW)
        assert "permitted subtree violation" in verify(ca, stolen, tmp_path), name


def test_a_name_outside_the_constraints_is_refused_with_its_name(ca: Pair) -> None:
    with pytest.raises(AuthorityError, match=r"^registry\.example\.org: .*rollover"):
        authority.make_leaf(ca, [*NAMES, "registry.example.org"], 397, NOW)


def test_new_names_beside_the_old_one_need_no_new_authority(ca: Pair) -> None:
    names = ["registry.homelab.local", "images.homelab.local", "10.9.8.7", "127.0.0.1"]
    assert authority.leaf_names(authority.make_leaf(ca, names, 397, NOW).certificate) == names


def test_public_addresses_and_domains_known_at_the_beginning_are_permitted() -> None:
    names = ["registry.homelab.local", "registry.example.org", "203.0.113.7"]
    ca = authority.make_authority(names, 3650, NOW)
    assert authority.outside_constraints(ca.certificate, [*names, "pull.example.org"]) == []
    assert authority.outside_constraints(ca.certificate, ["203.0.113.8", "example.com"]) == [
        "203.0.113.8",
        "example.com",
    ]


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("registry.homelab.local", "homelab.local"),
        ("registry.lan", "lan"),
        ("nas.com", "nas.com"),
        ("a.b.example.org", "b.example.org"),
    ],
)
def test_the_domain_an_authority_vouches_for(name: str, domain: str) -> None:
    assert authority.domain_of(name) == domain


def test_a_leaf_never_outlives_its_authority() -> None:
    ca = authority.make_authority(NAMES, 100, NOW)
    leaf = authority.make_leaf(ca, NAMES, 397, NOW)
    assert leaf.certificate.not_valid_after_utc == ca.certificate.not_valid_after_utc
    with pytest.raises(AuthorityError, match="ran out on 2026-06-09"):
        authority.make_leaf(ca, NAMES, 397, NOW + dt.timedelta(days=101))


def days(count: float) -> dt.datetime:
    return NOW + dt.timedelta(days=count)


@pytest.mark.parametrize(
    ("now", "names", "expected"),
    [
        (days(0), NAMES, None),
        (days(397 - 132.5), NAMES, None),
        (days(397 - 132), NAMES, "it runs out on 2027-04-02"),
        (days(400), NAMES, "it ran out on 2027-04-02"),
        (days(0), list(reversed(NAMES)), None),
        (days(0), [*NAMES, "x.homelab.local"], "its names have changed (new: x.homelab.local)"),
        (days(0), NAMES[:1], "its names have changed (without 192.168.1.10)"),
    ],
)
def test_when_a_leaf_is_due(
    ca: Pair, leaf: Pair, now: dt.datetime, names: list[str], expected: str | None
) -> None:
    assert authority.leaf_due(leaf.certificate, ca.certificate, names, 397, 132, now) == expected


def test_a_leaf_of_another_authority_is_due(leaf: Pair) -> None:
    other = authority.make_authority(NAMES, 3650, NOW)
    found = authority.leaf_due(leaf.certificate, other.certificate, NAMES, 397, 132, NOW)
    assert found == "it was issued by another authority"


def test_at_the_end_of_an_authority_a_leaf_is_not_renewed_for_nothing() -> None:
    ca = authority.make_authority(NAMES, 100, NOW)
    leaf = authority.make_leaf(ca, NAMES, 397, NOW)
    assert authority.leaf_due(leaf.certificate, ca.certificate, NAMES, 397, 132, days(50)) is None


def test_a_certificate_and_a_foreign_key_are_no_pair(ca: Pair, leaf: Pair) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        authority.read_pair(ca.certificate_pem, leaf.key_pem)


def test_our_own_certificates_are_told_from_others(ca: Pair, leaf: Pair, tmp_path: Path) -> None:
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/O=Somebody/CN=registry.homelab.local", "-keyout", f"{tmp_path}/k", "-out", f"{tmp_path}/c")  # fmt: skip
    from cryptography.x509 import load_pem_x509_certificate

    other = load_pem_x509_certificate((tmp_path / "c").read_bytes())
    assert [authority.ours(c) for c in (ca.certificate, leaf.certificate, other)] == [True, True, False]


def test_neither_repr_shows_a_key(ca: Pair) -> None:
    assert "PRIVATE" not in repr(ca)
    assert "key" not in repr(ca)
