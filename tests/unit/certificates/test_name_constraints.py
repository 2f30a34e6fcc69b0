"""Which names and addresses a CA permits; test_ca.py checks that openssl enforces it."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509

from tasks.certificates import ca, name_constraints
from tasks.certificates.name_constraints import not_permitted, permitted_domain, shared_domains

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def test_the_names_a_ca_is_made_for_are_permitted_and_others_are_not() -> None:
    names = ["registry.homelab.local", "registry.example.org", "203.0.113.7"]
    authority = ca.make_authority(names, 3650, NOW)
    assert not_permitted(authority.certificate, [*names, "pull.example.org"]) == []
    assert not_permitted(authority.certificate, ["203.0.113.8", "example.com"]) == [
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
        ("registry.example.org", "example.org"),
        ("example.co.uk", "example.co.uk"),  # a suffix of two labels
        ("registry.example.co.uk", "example.co.uk"),
        ("myhome.duckdns.org", "myhome.duckdns.org"),  # the list's private section
        ("registry.myhome.duckdns.org", "myhome.duckdns.org"),
        ("me.github.io", "me.github.io"),
        ("www.ck", "www.ck"),  # *.ck, of which www.ck is an exception
        ("registry.foo.ck", "registry.foo.ck"),
        ("registry.www.ck", "www.ck"),
        ("xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("nas.fritz.box", "fritz.box"),
        ("nas.tail1234.ts.net", "tail1234.ts.net"),
        ("registry.home.arpa", "home.arpa"),  # RFC 8375: private, though on the list
        ("registry.nas.home.arpa", "nas.home.arpa"),
        ("nas.internal", "internal"),
        ("nas.unheardof", "nas.unheardof"),
    ],
)
def test_the_permitted_domain_of_a_name(name: str, domain: str) -> None:
    assert permitted_domain(name) == domain


def test_a_ca_for_a_shared_domain_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such CAs were made when dots were counted."""
    names = ["myhome.duckdns.org", "registry.example.org", "nas.lan"]
    made = ca.make_authority(names, 3650, NOW).certificate
    assert shared_domains(made, names) == []
    monkeypatch.setattr(name_constraints, "permitted_domain", lambda name: name.partition(".")[2])
    wide = ca.make_authority([*names, "x.co.uk"], 3650, NOW).certificate
    assert shared_domains(wide, names) == ["duckdns.org", "co.uk"]


def test_no_name_is_permitted_by_the_subtrees_of_other_types() -> None:
    permitted = name_constraints.permitted_subtrees(["192.0.2.1"])
    assert [type(each) for each in permitted[-2:]] == [x509.RFC822Name, x509.UniformResourceIdentifier]
    authority = ca.make_authority(["192.0.2.1"], 3650, NOW)
    assert not_permitted(authority.certificate, ["registry.invalid"]) == ["registry.invalid"]
