from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.accounts import passwords
from tasks.accounts.passwords import FormerPassword
from tasks.certificates import ca, rollover
from tasks.certificates.ca import KeyPair
from tasks.certificates.rollover import Successor
from tasks.state import changes
from tasks.state.files import StateError
from tasks.state.store import State, Store

NOW = dt.datetime.now(dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
PASSWORDS = {"admin": passwords.generate(), "ci": "typed by hand"}
STORAGE = ("/var/lib/homelab-registry", "0" * 32)
CHANGES = changes.add(changes.add(changes.add((), "", NOW), "", NOW), "", NOW)
HASHES = passwords.hashes(PASSWORDS, {})  # once: hashing a custom password takes a third of a second


def fill(store: Store, registry_host: str) -> None:
    """Write everything, as a first run does."""
    authority = ca.make_authority(NAMES, 3650, NOW)
    store.authorities.write(authority)
    store.write_ca_bundle(authority.certificate_pem)
    store.write_leaf(ca.make_leaf(authority, NAMES, 397, NOW))
    for name, password in PASSWORDS.items():
        store.write_password(name, password)
    store.write_hashes(HASHES)
    store.write_former({"ci": FormerPassword(HASHES["admin"], NOW)})
    store.write_changes(CHANGES)
    store.write_http_secret("ab" * 32)
    store.write_record(
        registry_host, {"docker.io/library/registry:3": "registry@sha256:" + "0" * 64}, STORAGE
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state")
    fill(store, "nas")
    return store


def files(store: Store) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_a_missing_state_is_empty_and_reading_it_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    assert store.read().is_empty
    assert not store.folder.exists()


def test_the_state_is_read_as_it_was_written(store: Store) -> None:
    state = store.read()
    assert not state.is_empty
    assert state.passwords["ci"] == "typed by hand"
    assert set(state.hashes) == {"admin", "ci"}
    assert state.former == {"ci": FormerPassword(HASHES["admin"], NOW)}
    assert state.changes == CHANGES
    assert state.http_secret == "ab" * 32
    assert state.registry_host == "nas"
    assert state.images == {"docker.io/library/registry:3": "registry@sha256:" + "0" * 64}
    assert state.authority
    assert state.leaf
    assert ca.issued_by(state.leaf.certificate, state.authority.certificate)


def test_every_file_is_0600_and_every_folder_0700(store: Store) -> None:
    for path in [store.folder, *store.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "name",
    ["leaf.pem", "htpasswd", "former.json", "changes", "http.secret", "record.json", "ca.crt", "accounts/admin.password",
     "authorities/*/ca.crt", "authorities/*/ca.key"],
)  # fmt: skip
def test_a_truncated_file_is_an_error_with_its_path_and_a_remedy(store: Store, name: str) -> None:
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
    "name", ["leaf.pem", "htpasswd", "former.json", "changes", "http.secret", "record.json", "ca.crt"]
)
def test_files_that_a_run_can_recreate_may_be_missing(store: Store, name: str) -> None:
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
def test_files_that_no_run_can_recreate_may_not_be_missing(store: Store, name: str, problem: str) -> None:
    (path,) = store.folder.glob(name)
    path.unlink()
    with pytest.raises(StateError, match=problem):
        store.read()


def test_a_missing_ca_is_an_error_and_never_replaced(store: Store) -> None:
    for path in (store.folder / "authorities").rglob("*"):
        if path.is_file():
            path.unlink()
    for folder in (store.folder / "authorities").iterdir():
        folder.rmdir()
    with pytest.raises(StateError, match="has lost its certificate authority"):
        store.read()


def test_the_ca_folder_of_a_killed_run_is_ignored_and_removed_by_the_next_run(store: Store) -> None:
    unfinished = store.folder / "authorities" / ".new-0123abcd"
    unfinished.mkdir()
    (unfinished / "ca.key").write_text("half a k")
    assert store.read().authority
    other = Store(store.folder.parent / "other")
    (other.folder / "authorities" / ".new-0").mkdir(parents=True)
    assert other.read().is_empty
    other.authorities.write(ca.make_authority(NAMES, 10, NOW))
    assert [path.name.startswith(".new") for path in (other.folder / "authorities").iterdir()] == [False]


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt~", ".ca.crt.swp", "lost+found/", ".Trash-1000/", "._ci.password",
        "accounts/.DS_Store", "accounts/._ci.password", "accounts/ci.password~", "accounts/ci.password.bak",
        "accounts/ci copy.password", "accounts/ci (conflicted copy 2026-03-01).password", "accounts/#ci.password#",
        "accounts/lost+found/", "accounts/old.password/",
        "authorities/.DS_Store", "authorities/Thumbs.db", "authorities/lost+found/", "authorities/.Spotlight-V100/",
        "authorities/.stfolder/", "authorities/{ca} copy/", "authorities/{ca}/.DS_Store", "authorities/{ca}/ca.key~",
    ],
)  # fmt: skip
def test_what_others_leave_in_the_state_is_passed_over_and_stays(store: Store, name: str) -> None:
    (ca_folder,) = (store.folder / "authorities").iterdir()
    before = store.read(), summary(store.read())
    path = store.folder / name.format(ca=ca_folder.name)
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_bytes(b"\0\0\0\1Bud1\xff")
    with store.lock():
        found = store.read()
    assert found.passwords == before[0].passwords
    assert summary(found) == before[1]
    assert path.exists()


def test_a_password_may_be_missing_if_its_account_is_being_removed(store: Store) -> None:
    store.remove_password("ci")
    with pytest.raises(StateError, match=r"ci\.password is missing, though the account exists"):
        store.read(["admin", "ci"])
    assert set(store.read(["admin"]).passwords) == {"admin"}


def test_a_password_that_is_set_aside_is_kept_and_not_read(store: Store) -> None:
    store.set_password_aside("ci", NOW)
    assert set(store.read(["admin"]).passwords) == {"admin"}
    (kept,) = (store.folder / "accounts").glob("ci.removed-*")
    assert kept.read_text() == "typed by hand\n"


def test_two_cas_without_a_rollover_are_an_error(store: Store) -> None:
    store.authorities.write(ca.make_authority(NAMES, 10, NOW))
    with pytest.raises(
        StateError, match="contains two certificate authorities, and neither is the successor"
    ):
        store.read()


# A rollover.


@pytest.fixture
def old(store: Store) -> KeyPair:
    """The CA in the state."""
    found = store.read().authority
    assert found
    return found


@pytest.fixture
def successor(store: Store, old: KeyPair) -> Successor:
    """A successor, stored beside it."""
    made = rollover.make_successor(old, NAMES, 3650, NOW)
    store.authorities.write_successor(made, old)
    return made


def summary(state: State) -> tuple[object, ...]:
    """Return fingerprints of the CA and its successor, the rollover's progress, whether there is a cross-certificate."""
    found = state.successor
    return (
        state.authority and state.authority.fingerprint,
        found and found.ca.fingerprint,
        found and found.issuing_since,
        found and found.retiring_old,
        bool(found and found.cross_certificate),
    )


@pytest.mark.parametrize("switched", [None, NOW.date()])
@pytest.mark.parametrize("retiring", [False, True])
def test_a_rollover_is_read_as_it_was_written(
    store: Store, old: KeyPair, successor: Successor, switched: dt.date | None, retiring: bool
) -> None:
    store.authorities.write_rollover(replace(successor, issuing_since=switched, retiring_old=retiring), old)
    assert summary(store.read()) == (old.fingerprint, successor.ca.fingerprint, switched, retiring, True)
    for path in store.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_after_a_rollover_only_the_new_ca_is_left(store: Store, old: KeyPair, successor: Successor) -> None:
    store.authorities.write_rollover(replace(successor, retiring_old=True), old)
    store.write_ca_bundle(successor.ca.certificate_pem)
    store.authorities.remove_old(old, successor.ca)
    assert summary(store.read()) == (successor.ca.fingerprint, None, None, None, False)
    (folder,) = (store.folder / "authorities").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "ca.key"]
    again = rollover.make_successor(successor.ca, NAMES, 3650, NOW)
    store.authorities.write_successor(again, successor.ca)
    assert summary(store.read())[:2] == (successor.ca.fingerprint, again.ca.fingerprint)


CALLS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir"), (shutil, "rmtree"),
)  # fmt: skip
"""A run is killed before one of these calls; all earlier calls have happened."""


class Killed(BaseException):
    """Stands for the end of the process: no `except Exception` catches it."""


def dies_at(point: int, write: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Call `write` and die before the call number `point`; return False if there are fewer calls."""
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


@pytest.mark.parametrize("what", ["write_successor", "write_rollover", "remove_old"])
def test_killed_at_any_point_of_a_write_the_state_is_the_old_one_or_the_new_one(
    store: Store, old: KeyPair, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    successor = rollover.make_successor(old, NAMES, 3650, NOW)
    switched = replace(successor, issuing_since=NOW.date(), retiring_old=True)
    if what != "write_successor":
        store.authorities.write_successor(successor, old)
    if what == "remove_old":
        store.authorities.write_rollover(switched, old)
        store.write_ca_bundle(successor.ca.certificate_pem)
    writes: dict[str, Callable[[Store], None]] = {
        "write_successor": lambda store: store.authorities.write_successor(successor, old),
        "write_rollover": lambda store: store.authorities.write_rollover(switched, old),
        "remove_old": lambda store: store.authorities.remove_old(old, successor.ca),
    }
    before, whole = summary(store.read()), copied(store, "whole")
    writes[what](whole)
    after = summary(whole.read())
    found = []
    for point in itertools.count(1):
        killed = copied(store, f"killed-{point}")
        if not dies_at(point, partial(writes[what], killed), monkeypatch):
            break
        found.append(summary(killed.read()))
        with killed.lock():  # the next run
            assert not list((killed.folder / "authorities").glob(".*"))
        assert summary(killed.read()) == found[-1]
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
        (lambda _, old: shutil.rmtree(old), "has lost .*, the certificate authority that is still in use", "The state is lost"),
        (lambda new, _: (new / "rollover.json").unlink(), "neither is the successor of the other", "backup"),
        (lambda new, _: (new / "rollover.json").write_text("{"), "rollover.json is damaged", "backup"),
        (lambda new, _: (new / "rollover.json").write_text("{}"), "rollover.json is damaged", "backup"),
        (lambda new, _: (new / "cross.crt").write_text("x"), "cross.crt is damaged", "remove it"),
        (lambda new, _: shutil.copy(new / "ca.crt", new / "cross.crt"), "cross.crt is damaged", "remove it"),
    ],
)  # fmt: skip
def test_a_damaged_or_missing_part_of_a_rollover_is_an_error(
    store: Store, old: KeyPair, successor: Successor, damage: Any, problem: str, remedy: str
) -> None:
    folders = [store.folder / "authorities" / pair.fingerprint[:16] for pair in (successor.ca, old)]
    damage(*folders)
    with pytest.raises(StateError, match=problem) as stop:
        store.read()
    assert remedy in stop.value.remedy


def test_a_cross_certificate_may_be_missing(store: Store, old: KeyPair, successor: Successor) -> None:
    """The next run recreates it."""
    (store.folder / "authorities" / successor.ca.fingerprint[:16] / "cross.crt").unlink()
    assert summary(store.read())[-1] is False
    assert successor.cross_certificate
    store.authorities.write_cross_certificate(successor.ca, successor.cross_certificate)
    assert summary(store.read())[-1] is True


def test_a_third_ca_is_an_error(store: Store, successor: Successor) -> None:
    store.authorities.write(ca.make_authority(NAMES, 10, NOW))
    with pytest.raises(StateError, match="contains 3 certificate authorities, but there can be at most two"):
        store.read()


def test_ca_crt_may_be_from_an_earlier_stage_but_not_from_another_ca(
    store: Store, old: KeyPair, successor: Successor
) -> None:
    both = old.certificate_pem + successor.ca.certificate_pem
    for text in (old.certificate_pem, both, successor.ca.certificate_pem):
        store.write_ca_bundle(text)
        assert store.read().successor
        assert store.read_ca_bundle() == text
    store.write_ca_bundle(both + ca.make_authority(NAMES, 10, NOW).certificate_pem)
    with pytest.raises(StateError, match=r"ca\.crt does not match the certificate authority in"):
        store.read()


@pytest.mark.parametrize("text", ["", "\n", "x" * 73, "a\nb\n", "hlr_short\n"])
def test_a_password_file_that_cannot_be_used(store: Store, text: str) -> None:
    store.password_path("ci").write_text(text)
    with pytest.raises(StateError, match=r"ci\.password cannot be used: it "):
        store.read()


def test_one_trailing_newline_of_a_password_is_removed(store: Store) -> None:
    store.password_path("ci").write_text("secret \r\n")
    assert store.read().passwords["ci"] == "secret "


def test_a_second_run_at_the_same_time_is_an_error_and_a_later_one_is_not(store: Store) -> None:
    with store.lock(), pytest.raises(StateError, match="another run is using"), Store(store.folder).lock():
        pass
    with Store(store.folder).lock():
        assert store.folder.is_dir()


def test_a_run_that_writes_nothing_leaves_no_folder_and_whoever_waited_for_it_has_the_lock(
    tmp_path: Path,
) -> None:
    """`mv state/local state/yours` would move the one into an empty folder that a stopped run left."""
    store = Store(tmp_path / "state/yours")
    with ThreadPoolExecutor() as pool:
        with store.lock():
            waiting = pool.submit(hold, Store(store.folder))
            with pytest.raises(StateError, match="another run is using"), Store(store.folder).lock():
                pass
        assert waiting.result() == "another run is using"
    assert not store.folder.exists()


@pytest.mark.parametrize("error", [FileExistsError, None], ids=["while it is made", "before it is opened"])
def test_a_folder_that_another_run_removes_just_now_is_made_again(
    error: type[OSError] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "yours")
    make, calls = store._files.make_folder, []

    def removed(folder: Path) -> None:
        calls.append(folder)
        if len(calls) > 1:
            make(folder)
        elif error:
            raise error

    monkeypatch.setattr(store._files, "make_folder", removed)
    with store.lock(10):
        assert (len(calls), store.folder.is_dir()) == (2, True)


def test_a_file_in_the_place_of_the_state_is_no_other_run(tmp_path: Path) -> None:
    (tmp_path / "yours").touch()
    with pytest.raises(FileExistsError), Store(tmp_path / "yours").lock():
        pass


def test_a_folder_that_cannot_be_made_is_no_other_run() -> None:
    """The system says ENOENT of it, as of one that was removed."""
    with pytest.raises(FileNotFoundError), Store(Path("/proc/yours")).lock():
        pass


def hold(store: Store) -> str:
    """Wait for the lock, and return what another run is told meanwhile."""
    with store.lock(10), pytest.raises(StateError) as stop, Store(store.folder).lock():
        pass
    return stop.value.problem.partition(f" {store.folder}")[0]


def test_a_failed_write_leaves_the_old_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(
    "names",
    [
        [],
        [".gitignore"],
        [".gitignore", ".leaf.pem.new"],
        [".DS_Store"],
        ["lost+found"],
        ["accounts", "notes.txt"],
        ["authorities", ".DS_Store"],
    ],
)
def test_a_folder_that_is_empty_or_has_a_state_is_taken(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    Store(tmp_path).check_folder()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["HEAD", "config", "objects", "refs", "hooks"], "HEAD, config, hooks, objects"),  # .git
        (["id_ed25519"], "id_ed25519"),
        ([".bashrc"], ".bashrc"),
        ([".gitignore", "deploy.py"], "deploy.py"),
    ],
)
def test_a_folder_with_other_things_is_left_as_it_is(tmp_path: Path, names: list[str], shown: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StateError) as stop:
        Store(tmp_path).check_folder()
    assert stop.value.problem == f"registry_state_dir {tmp_path} has other things in it ({shown})"
    assert stop.value.remedy == (
        f"give the state a folder of its own, such as {tmp_path}/homelab-registry, and run again"
    )
    assert tmp_path.stat().st_mode & 0o777 == 0o755
