from __future__ import annotations

import ctypes

import bcrypt
import pytest

from tasks.model import accounts


def test_generated_passwords_are_long_recognisable_and_never_the_same() -> None:
    made = {accounts.generate() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert accounts.is_generated(password)
        assert accounts.check(password) is None
        assert len(password) == len("hlr_") + 43 + 6


@pytest.mark.parametrize("cut", [1, 6, 20, 45])
def test_a_generated_password_that_was_cut_is_found(cut: int) -> None:
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
def test_what_a_password_of_a_person_may_be(password: str, problem: str | None) -> None:
    assert accounts.check(password) == problem


def test_the_system_s_own_crypt_agrees_with_our_hashes() -> None:
    """An independent path: libxcrypt, which has an implementation of bcrypt of its own."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    passwords = {"admin": accounts.generate(), "typed": "correct horse", "umlaut": "grün:52"}
    for line in accounts.htpasswd(accounts.hashes(passwords, {})).splitlines():
        name, hashed = line.split(":")
        assert crypt(passwords[name].encode(), hashed.encode()) == hashed.encode()
        assert crypt(b"x" + passwords[name].encode(), hashed.encode()) != hashed.encode()


def test_only_generated_passwords_get_the_cheap_hash() -> None:
    hashed = accounts.hashes({"machine": accounts.generate(), "person": "hlr_typed by hand"}, {})
    assert hashed["machine"].startswith("$2b$04$")
    assert hashed["person"].startswith("$2b$12$")


def test_a_hash_that_still_fits_is_kept_and_no_other() -> None:
    passwords = {"a": accounts.generate(), "b": accounts.generate()}
    first = accounts.hashes(passwords, {})
    changed = {**passwords, "b": accounts.generate(), "c": "typed"}
    second = accounts.hashes(changed, first)
    assert second["a"] == first["a"]
    assert second["b"] != first["b"]
    assert set(second) == {"a", "b", "c"}
    assert set(accounts.hashes({"a": passwords["a"]}, second)) == {"a"}


def test_a_hash_of_the_wrong_cost_is_made_anew() -> None:
    cheap = bcrypt.hashpw(b"typed", bcrypt.gensalt(4)).decode()
    assert accounts.hashes({"person": "typed"}, {"person": cheap})["person"].startswith("$2b$12$")


def test_htpasswd_survives_a_round_trip_and_refuses_half_a_line() -> None:
    hashed = accounts.hashes({"a": accounts.generate(), "b": accounts.generate()}, {})
    text = accounts.htpasswd(hashed)
    assert accounts.read_htpasswd(text) == hashed
    with pytest.raises(ValueError, match="not of the form"):
        accounts.read_htpasswd(text[: len(text) * 3 // 4])


def test_typed_passwords_are_known_by_their_hash() -> None:
    hashed = accounts.hashes({"anna": "correct horse battery", "b.c": accounts.generate()}, {})
    text = accounts.htpasswd({**hashed, accounts.DECOY: accounts.DECOY_HASH})
    assert accounts.typed(text) == ["anna"]
