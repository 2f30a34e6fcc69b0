from __future__ import annotations

import ctypes
import datetime as dt

import bcrypt
import pytest

from tasks.accounts import passwords as accounts
from tasks.accounts.passwords import FormerPassword


def test_generated_passwords_are_long_recognisable_and_never_the_same() -> None:
    made = {accounts.generate() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert accounts.is_generated(password)
        assert accounts.check(password) is None
        assert len(password) == len("hlr_") + 43 + 6


@pytest.mark.parametrize("cut", [1, 6, 20, 45])
def test_a_truncated_generated_password_is_detected(cut: int) -> None:
    assert accounts.check(accounts.generate()[:-cut]) == "it was generated, but has been cut or changed since"


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("x", None),
        ("correct horse battery staple", None),
        ("a:b", None),
        ("ü" * 36, None),
        ("x" * 72, None),
        ("x" * 73, "it is 73 bytes long; 1 to 72 are allowed"),
        ("ü" * 37, "it is 74 bytes long; 1 to 72 are allowed"),
        ("", "it is 0 bytes long; 1 to 72 are allowed"),
        ("two\nlines", "it holds a line break or another control character"),
        ("nul\0", "it holds a line break or another control character"),
    ],
)
def test_what_a_custom_password_may_be(password: str, problem: str | None) -> None:
    assert accounts.check(password) == problem


@pytest.mark.parametrize(
    "password", [accounts.generate(), "correct horse", "grün:52"], ids=["generated", "custom", "umlaut"]
)
def test_the_system_s_own_crypt_agrees_with_our_hashes(password: str) -> None:
    """An independent path: libxcrypt, which has its own implementation of bcrypt."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    (line,) = accounts.htpasswd(accounts.hashes({"admin": password}, {})).splitlines()
    name, hashed = line.split(":")
    assert name == "admin"
    assert crypt(password.encode(), hashed.encode()) == hashed.encode()
    assert crypt(b"x" + password.encode(), hashed.encode()) != hashed.encode()


def test_only_generated_passwords_get_the_cheap_hash() -> None:
    hashed = accounts.hashes({"machine": accounts.generate(), "person": "hlr_typed by hand"}, {})
    assert hashed["machine"].startswith("$2b$04$")
    assert hashed["person"].startswith("$2b$12$")


def test_a_hash_that_still_fits_is_kept_and_no_other() -> None:
    passwords = {"a": accounts.generate(), "b": accounts.generate()}
    first = accounts.hashes(passwords, {})
    changed = {**passwords, "b": accounts.generate(), "c": "my own"}
    second = accounts.hashes(changed, first)
    assert second["a"] == first["a"]
    assert second["b"] != first["b"]
    assert set(second) == {"a", "b", "c"}
    assert set(accounts.hashes({"a": passwords["a"]}, second)) == {"a"}


def test_a_hash_of_the_wrong_cost_is_replaced() -> None:
    cheap = bcrypt.hashpw(b"my own", bcrypt.gensalt(4)).decode()
    assert accounts.hashes({"person": "my own"}, {"person": cheap})["person"].startswith("$2b$12$")


def test_htpasswd_survives_a_round_trip_and_half_a_line_is_rejected() -> None:
    hashed = accounts.hashes({"a": accounts.generate(), "b": accounts.generate()}, {})
    text = accounts.htpasswd(hashed)
    assert accounts.read_htpasswd(text) == hashed
    with pytest.raises(ValueError, match="not of the form"):
        accounts.read_htpasswd(text[: len(text) * 3 // 4])


def test_custom_passwords_are_recognised_by_their_hash() -> None:
    hashed = accounts.hashes({"anna": "correct horse battery", "b.c": accounts.generate()}, {})
    text = accounts.htpasswd(accounts.entries(hashed, {}))
    assert accounts.custom_accounts(text) == ["anna"]


NOW = dt.datetime(2027, 1, 15, tzinfo=dt.UTC)
EARLIER = NOW - dt.timedelta(days=3)
OLD, NEW, NEWER = (accounts.generate() for _ in range(3))
HASHED = {password: accounts.hashes({"x": password}, {})["x"] for password in (OLD, NEW, NEWER)}


@pytest.mark.parametrize(
    ("password", "present", "former", "replaced"),
    [
        pytest.param(OLD, None, None, None, id="a new account"),
        pytest.param(OLD, OLD, None, None, id="as it was"),
        pytest.param(NEW, OLD, None, (OLD, NOW), id="changed"),
        pytest.param(NEW, NEW, (OLD, EARLIER), (OLD, EARLIER), id="changed in a run before"),
        pytest.param(OLD, OLD, (OLD, EARLIER), None, id="killed before the new password was written"),
        pytest.param(NEW, OLD, (OLD, EARLIER), (OLD, EARLIER), id="killed before its hash was written"),
        pytest.param(NEWER, NEW, (OLD, EARLIER), (NEW, NOW), id="changed once more"),
        pytest.param(OLD, NEW, (OLD, EARLIER), (NEW, NOW), id="changed back"),
        pytest.param(NEW, None, (OLD, EARLIER), (OLD, EARLIER), id="the hashes are lost"),
        pytest.param(OLD, None, (OLD, EARLIER), None, id="the hashes are lost, and it was changed back"),
    ],
)
def test_which_password_is_a_former_one(
    password: str,
    present: str | None,
    former: tuple[str, dt.datetime] | None,
    replaced: tuple[str, dt.datetime] | None,
) -> None:
    before = {"ci": HASHED[present]} if present else {}
    found = accounts.find_former(
        {"ci": password},
        accounts.hashes({"ci": password}, before),
        before,
        {"ci": FormerPassword(HASHED[former[0]], former[1])} if former else {},
        NOW,
    )
    assert found == ({"ci": FormerPassword(HASHED[replaced[0]], replaced[1])} if replaced else {})


def test_an_account_that_is_gone_has_no_former_password() -> None:
    assert (
        accounts.find_former({}, {}, {"ci": HASHED[NEW]}, {"ci": FormerPassword(HASHED[OLD], NOW)}, NOW) == {}
    )


def test_a_hash_of_another_cost_makes_no_former_password() -> None:
    cheap = bcrypt.hashpw(b"my own", bcrypt.gensalt(4)).decode()
    custom = accounts.hashes({"person": "my own"}, {"person": cheap})
    assert custom != {"person": cheap}
    assert accounts.find_former({"person": "my own"}, custom, {"person": cheap}, {}, NOW) == {}


def test_a_hash_that_is_kept_is_not_compared_again() -> None:
    """The test uses one that fits nothing: a custom password takes a third of a second to compare, in every run."""
    assert accounts.find_former({"ci": "my own"}, {"ci": "kept"}, {"ci": "kept"}, {}, NOW) == {}


def test_every_name_has_two_entries_while_one_account_has_two_passwords() -> None:
    hashed = {"admin": HASHED[NEW], "ci": HASHED[NEWER]}
    single = {**hashed, "-": accounts.DECOY_HASH}
    next_ones = {"---admin": HASHED[NEW], "---ci": HASHED[NEWER], "----": accounts.DECOY_HASH}
    assert accounts.entries(hashed, {}) == single
    assert accounts.entries(hashed, {"ci": HASHED[OLD]}) == {**single, "ci": HASHED[OLD], **next_ones}
    text = accounts.htpasswd(single)
    assert accounts.read_htpasswd(accounts.add_next_entries(text)) == {**single, **next_ones}
    assert not accounts.has_next_entries(text)
    assert accounts.has_next_entries(accounts.add_next_entries(text))
    assert accounts.has_next_entries(accounts.htpasswd(accounts.entries(hashed, {"ci": HASHED[OLD]})))


def test_an_account_counts_as_custom_if_either_password_is() -> None:
    custom = accounts.hashes({"ci": "correct horse"}, {})
    for hashed, former in ((custom, {"ci": HASHED[OLD]}), ({"ci": HASHED[NEW]}, custom)):
        assert accounts.custom_accounts(accounts.htpasswd(accounts.entries(hashed, former))) == ["ci"]
