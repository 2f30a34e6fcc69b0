from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.accounts import passwords
from tasks.accounts.passwords import Former
from tasks.certificates import ca as authority
from tasks.certificates import rollover
from tasks.certificates.ca import Pair
from tasks.certificates.rollover import Successor
from tasks.state.files import StateError
from tasks.state.store import State, Store

NOW = dt.datetime.now(dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
PASSWORDS = {"admin": passwords.generate(), "ci": "typed by hand"}
HASHES = passwords.hashes(PASSWORDS, {})  # once: the hash of a typed password takes a third of a second


def fill(store: Store, registry_host: str) -> None:
    """Write everything, as a first run does."""
    ca = authority.make_authority(NAMES, 3650, NOW)
    store.authorities.write(ca)
    store.write_public(ca.certificate_pem)
    store.write_leaf(authority.make_leaf(ca, NAMES, 397, NOW))
    for name, password in PASSWORDS.items():
        store.write_password(name, password)
    store.write_hashes(HASHES)
    store.write_former({"ci": Former(HASHES["admin"], NOW)})
    store.write_http_secret("ab" * 32)
    store.write_record(registry_host, {"docker.io/library/registry:3": "registry@sha256:" + "0" * 64})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state")
    fill(store, "nas")
    return store


def files(store: Store) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_nothing_there_is_a_fresh_state_and_reading_makes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    assert store.read().fresh
    assert not store.folder.exists()


def test_what_was_written_is_read_again(store: Store) -> None:
    state = store.read()
    assert not state.fresh
    assert state.passwords["ci"] == "typed by hand"
    assert set(state.hashes) == {"admin", "ci"}
    assert state.former == {"ci": Former(HASHES["admin"], NOW)}
    assert state.http_secret == "ab" * 32
    assert state.registry_host == "nas"
    assert state.images == {"docker.io/library/registry:3": "registry@sha256:" + "0" * 64}
    assert state.authority
    assert state.leaf
    assert authority.issued_by(state.leaf.certificate, state.authority.certificate)


def test_every_file_is_0600_and_every_folder_0700(store: Store) -> None:
    for path in [store.folder, *store.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "name",
    ["leaf.pem", "htpasswd", "former.json", "http.secret", "record.json", "ca.crt", "accounts/admin.password",
     "authorities/*/ca.crt", "authorities/*/ca.key"],
)  # fmt: skip
def test_a_file_cut_in_half_stops_and_says_which_and_how_to_go_on(store: Store, name: str) -> None:
    (path,) = store.folder.glob(name)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(StateError) as stop:
        store.read()
    assert (str(path) if "authorities" not in name else str(path.parent)) in stop.value.problem
    assert stop.value.remedy
    assert "\n" not in str(stop.value)
    for secret in ("typed by hand", text[10:40]):
        assert secret not in str(stop.value)


@pytest.mark.parametrize(
    "name", ["leaf.pem", "htpasswd", "former.json", "http.secret", "record.json", "ca.crt"]
)
def test_what_can_be_made_again_may_be_removed(store: Store, name: str) -> None:
    (store.folder / name).unlink()
    assert store.read().authority


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("authorities/*/ca.key", "is damaged"),
        ("authorities/*/ca.crt", "is damaged"),
        ("accounts/admin.password", "is missing, though the account exists"),
    ],
)
def test_what_cannot_be_made_again_may_not_be_missing(store: Store, name: str, problem: str) -> None:
    (path,) = store.folder.glob(name)
    path.unlink()
    with pytest.raises(StateError, match=problem):
        store.read()


def test_an_authority_that_is_gone_is_never_replaced(store: Store) -> None:
    for path in (store.folder / "authorities").rglob("*"):
        if path.is_file():
            path.unlink()
    for folder in (store.folder / "authorities").iterdir():
        folder.rmdir()
    with pytest.raises(StateError, match="has lost its certificate authority"):
        store.read()


def test_a_folder_of_a_killed_run_is_no_authority_and_is_cleared_by_the_next(store: Store) -> None:
    unfinished = store.folder / "authorities" / ".new-0123abcd"
    unfinished.mkdir()
    (unfinished / "ca.key").write_text("half a k")
    assert store.read().authority
    other = Store(store.folder.parent / "other")
    (other.folder / "authorities" / ".new-x").mkdir(parents=True)
    assert other.read().fresh
    other.authorities.write(authority.make_authority(NAMES, 10, NOW))
    assert [path.name.startswith(".new") for path in (other.folder / "authorities").iterdir()] == [False]


def test_two_authorities_without_a_rollover_are_one_too_many(store: Store) -> None:
    store.authorities.write(authority.make_authority(NAMES, 10, NOW))
    with pytest.raises(StateError, match="holds two authorities, of which neither succeeds the other"):
        store.read()


# A rollover.


@pytest.fixture
def old(store: Store) -> Pair:
    """The CA that is there."""
    found = store.read().authority
    assert found
    return found


@pytest.fixture
def successor(store: Store, old: Pair) -> Successor:
    """What has just been written beside it."""
    made = rollover.succeed(old, NAMES, 3650, NOW)
    store.authorities.write_successor(made, old)
    return made


def told(state: State) -> tuple[object, ...]:
    """What a state says of its authorities, by fingerprint; whether there is a cross certificate."""
    found = state.successor
    return (
        state.authority and state.authority.fingerprint,
        found and found.pair.fingerprint,
        found and found.switched,
        found and found.retiring,
        bool(found and found.cross),
    )


@pytest.mark.parametrize("switched", [None, NOW.date()])
@pytest.mark.parametrize("retiring", [False, True])
def test_a_rollover_is_read_as_it_was_written(
    store: Store, old: Pair, successor: Successor, switched: dt.date | None, retiring: bool
) -> None:
    store.authorities.write_rollover(replace(successor, switched=switched, retiring=retiring), old)
    assert told(store.read()) == (old.fingerprint, successor.pair.fingerprint, switched, retiring, True)
    for path in store.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_of_a_rollover_that_has_ended_nothing_is_left_but_the_new_authority(
    store: Store, old: Pair, successor: Successor
) -> None:
    store.authorities.write_rollover(replace(successor, retiring=True), old)
    store.write_public(successor.pair.certificate_pem)
    store.authorities.drop(old, successor.pair)
    assert told(store.read()) == (successor.pair.fingerprint, None, None, None, False)
    (folder,) = (store.folder / "authorities").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "ca.key"]
    again = rollover.succeed(successor.pair, NAMES, 3650, NOW)
    store.authorities.write_successor(again, successor.pair)
    assert told(store.read())[:2] == (successor.pair.fingerprint, again.pair.fingerprint)


CALLS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir"), (shutil, "rmtree"),
)  # fmt: skip
"""Before each of these a run may be killed: all that comes earlier has happened."""


class Killed(BaseException):
    """The end of a process, as far as a test can have it."""


def dies_at(point: int, write: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Write, and die before one of the calls; false where there are fewer."""
    left = point

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for holder, name in CALLS:
            patch.setattr(holder, name, counted(getattr(holder, name)))
        try:
            write()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("what", ["write_successor", "write_rollover", "drop_authority"])
def test_killed_at_any_point_of_a_write_the_state_is_the_one_before_or_the_one_after(
    store: Store, old: Pair, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    successor = rollover.succeed(old, NAMES, 3650, NOW)
    switched = replace(successor, switched=NOW.date(), retiring=True)
    if what != "write_successor":
        store.authorities.write_successor(successor, old)
    if what == "drop_authority":
        store.authorities.write_rollover(switched, old)
        store.write_public(successor.pair.certificate_pem)
    writes: dict[str, Callable[[Store], None]] = {
        "write_successor": lambda at: at.authorities.write_successor(successor, old),
        "write_rollover": lambda at: at.authorities.write_rollover(switched, old),
        "drop_authority": lambda at: at.authorities.drop(old, successor.pair),
    }
    before, whole = told(store.read()), copied(store, "whole")
    writes[what](whole)
    after = told(whole.read())
    found = []
    for point in itertools.count(1):
        killed = copied(store, f"killed-{point}")
        if not dies_at(point, partial(writes[what], killed), monkeypatch):
            break
        found.append(told(killed.read()))
        with killed.lock():  # the next run
            assert not list((killed.folder / "authorities").glob(".*"))
        assert told(killed.read()) == found[-1]
    assert len(found) > 2
    assert found == [before] * found.count(before) + [after] * found.count(after)
    assert before in found


def copied(store: Store, name: str) -> Store:
    return Store(shutil.copytree(store.folder, store.folder.parent / name))


@pytest.mark.parametrize(
    ("damage", "problem", "remedy"),
    [
        (lambda new, _: (new / "ca.key").unlink(), "the certificate authority in .* is damaged", "backup"),
        (lambda new, _: (new / "ca.crt").write_text("x"), "the certificate authority in .* is damaged", "backup"),
        (lambda _, old: (old / "ca.key").unlink(), "the certificate authority in .* is damaged", "backup"),
        (lambda _, old: shutil.rmtree(old), "has lost .*, the authority that is not replaced yet", "backup"),
        (lambda new, _: (new / "rollover.json").unlink(), "of which neither succeeds the other", "backup"),
        (lambda new, _: (new / "rollover.json").write_text("{"), "rollover.json is damaged", "backup"),
        (lambda new, _: (new / "rollover.json").write_text("{}"), "rollover.json is damaged", "backup"),
        (lambda new, _: (new / "cross.crt").write_text("x"), "cross.crt is damaged", "remove it"),
        (lambda new, _: shutil.copy(new / "ca.crt", new / "cross.crt"), "cross.crt is damaged", "remove it"),
    ],
)  # fmt: skip
def test_a_rollover_of_which_something_is_damaged_or_missing_stops(
    store: Store, old: Pair, successor: Successor, damage: Any, problem: str, remedy: str
) -> None:
    folders = [store.folder / "authorities" / pair.fingerprint[:16] for pair in (successor.pair, old)]
    damage(*folders)
    with pytest.raises(StateError, match=problem) as stop:
        store.read()
    assert remedy in stop.value.remedy


def test_a_cross_certificate_may_be_missing(store: Store, old: Pair, successor: Successor) -> None:
    """The next run makes it again."""
    (store.folder / "authorities" / successor.pair.fingerprint[:16] / "cross.crt").unlink()
    assert told(store.read())[-1] is False
    assert successor.cross
    store.authorities.write_cross(successor.pair, successor.cross)
    assert told(store.read())[-1] is True


def test_a_third_authority_is_one_too_many(store: Store, successor: Successor) -> None:
    store.authorities.write(authority.make_authority(NAMES, 10, NOW))
    with pytest.raises(StateError, match="holds 3 authorities, where two are the most"):
        store.read()


def test_ca_crt_may_be_of_an_older_stage_and_of_no_other_authority(
    store: Store, old: Pair, successor: Successor
) -> None:
    both = old.certificate_pem + successor.pair.certificate_pem
    for text in (old.certificate_pem, both, successor.pair.certificate_pem):
        store.write_public(text)
        assert store.read().successor
        assert store.read_public() == text
    store.write_public(both + authority.make_authority(NAMES, 10, NOW).certificate_pem)
    with pytest.raises(StateError, match=r"ca\.crt is not the certificate of the authority beside it"):
        store.read()


@pytest.mark.parametrize("text", ["", "\n", "x" * 73, "a\nb\n", "hlr_short\n"])
def test_a_password_file_that_cannot_be_used(store: Store, text: str) -> None:
    store.password_path("ci").write_text(text)
    with pytest.raises(StateError, match=r"ci\.password cannot be used: it "):
        store.read()


def test_trailing_newline_of_a_password_is_dropped_once(store: Store) -> None:
    store.password_path("ci").write_text("secret \r\n")
    assert store.read().passwords["ci"] == "secret "


def test_a_second_run_at_the_same_time_is_refused_and_the_next_is_not(store: Store) -> None:
    with store.lock(), pytest.raises(StateError, match="another run is using"), Store(store.folder).lock():
        pass
    with Store(store.folder).lock():
        assert store.folder.is_dir()


def test_a_write_that_fails_leaves_the_old_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (store.folder / "htpasswd").read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_hashes({})
    assert (store.folder / "htpasswd").read_text() == before


def test_no_repr_shows_a_secret(store: Store) -> None:
    shown = repr(store.read())
    assert "typed by hand" not in shown
    assert "abab" not in shown
    assert "$2b$" not in shown
    assert isinstance(store.read(), State)
