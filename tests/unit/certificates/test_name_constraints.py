"""Which names and addresses a CA permits; test_ca.py checks that openssl enforces it."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.certificates import ca
from tasks.certificates.name_constraints import not_permitted, permitted_domain

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
    ],
)
def test_the_permitted_domain_of_a_name(name: str, domain: str) -> None:
    assert permitted_domain(name) == domain
