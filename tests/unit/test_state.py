from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest

from tasks.model import accounts, authority
from tasks.model.accounts import Former
from tasks.state import State, StateError, Store

NOW = dt.datetime.now(dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
PASSWORDS = {"admin": accounts.generate(), "ci": "typed by hand"}
HASHES = accounts.hashes(PASSWORDS, {})  # once: the hash of a typed password takes a third of a second


def fill(store: Store, registry_host: str) -> None:
    """Write everything, as a first run does."""
    ca = authority.make_authority(NAMES, 3650, NOW)
    store.write_authority(ca)
    store.write_public(ca)
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
    other.write_authority(authority.make_authority(NAMES, 10, NOW))
    assert [path.name.startswith(".new") for path in (other.folder / "authorities").iterdir()] == [False]


def test_two_authorities_are_one_too_many(store: Store) -> None:
    store.write_authority(authority.make_authority(NAMES, 10, NOW))
    with pytest.raises(StateError, match="holds 2 authorities"):
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
