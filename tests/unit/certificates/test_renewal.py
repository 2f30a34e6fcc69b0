"""When and why the leaf is renewed."""

from __future__ import annotations

import datetime as dt

import pytest

from tasks.certificates import ca
from tasks.certificates.ca import KeyPair
from tasks.certificates.renewal import renewal_reason

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return ca.make_authority(NAMES, 3650, NOW)


@pytest.fixture(scope="module")
def leaf(authority: KeyPair) -> KeyPair:
    return ca.make_leaf(authority, NAMES, 397, NOW)


def days(count: float) -> dt.datetime:
    return NOW + dt.timedelta(days=count)


@pytest.mark.parametrize(
    ("now", "names", "expected"),
    [
        (days(0), NAMES, None),
        (days(397 - 132.5), NAMES, None),
        (days(397 - 132), NAMES, "it expires on 2027-04-02"),
        (days(400), NAMES, "it expired on 2027-04-02"),
        (days(-0.04), NAMES, None),
        (
            days(-30),
            NAMES,
            "it is not valid before 2026-03-01 11:00 UTC (the clock was ahead when it was made)",
        ),
        (days(0), list(reversed(NAMES)), None),
        (days(0), [*NAMES, "x.homelab.local"], "its names have changed (added: x.homelab.local)"),
        (days(0), NAMES[:1], "its names have changed (removed: 192.168.1.10)"),
    ],
)
def test_renewal_reason(
    authority: KeyPair, leaf: KeyPair, now: dt.datetime, names: list[str], expected: str | None
) -> None:
    assert renewal_reason(leaf.certificate, authority.certificate, names, 397, 132, now) == expected


def test_a_leaf_of_another_authority_is_renewed(leaf: KeyPair) -> None:
    other = ca.make_authority(NAMES, 3650, NOW)
    found = renewal_reason(leaf.certificate, other.certificate, NAMES, 397, 132, NOW)
    assert found == "it was issued by another certificate authority"


def test_a_leaf_is_not_renewed_if_the_new_one_would_expire_no_later() -> None:
    authority = ca.make_authority(NAMES, 100, NOW)
    leaf = ca.make_leaf(authority, NAMES, 397, NOW)
    assert renewal_reason(leaf.certificate, authority.certificate, NAMES, 397, 132, days(50)) is None
