"""What the controller keeps: reading and writing `state/`, and nothing of what it means.

Every file is written beside itself, synced and renamed, mode 0600 in folders of mode 0700. A file that cannot be
read stops the run (`StateError`) with the way to go on; it is never taken as missing.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tasks.model import accounts
from tasks.model.accounts import Former
from tasks.model.authority import Pair, read_pair

RESTORE = "put it back from your backup"


class StateError(Exception):
    """The state cannot be used as it is; `problem` says what and where, `remedy` how to go on, a line each."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True)
class State:
    """All that was read. An empty one (`fresh`) belongs to nobody yet."""

    authority: Pair | None = None
    leaf: Pair | None = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)
    former: Mapping[str, Former] = field(default_factory=dict, repr=False)
    http_secret: str | None = field(default=None, repr=False)
    registry_host: str | None = None
    images: dict[str, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether nothing has been made yet."""
        return self == State()


class Store:
    """The state's folder on the controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def password_path(self, account: str) -> Path:
        """Return the file with an account's password."""
        return self.folder / "accounts" / f"{account}.password"

    @property
    def authority_path(self) -> Path:
        """The CA's certificate, for people to install on machines outside the inventory."""
        return self.folder / "ca.crt"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the state for one run; `StateError` at once where another run holds it.

        The lock is the kernel's and ends with the process, so a killed run leaves none behind.
        """
        self._make(self.folder)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise StateError(
                f"another run is using {self.folder}", "wait until it has ended, then run again"
            ) from None
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # gevent puts a close off until its loop runs again
            os.close(handle)

    def read(self) -> State:
        """Read everything. `StateError` where a file is damaged, or one is missing that others speak of."""
        try:
            return self._read_all()
        except OSError as error:
            raise StateError(
                f"{error.filename} cannot be read ({error.strerror})", "run as the user whose state it is"
            ) from None

    def _read_all(self) -> State:
        registry_host, images = self._read_record()
        state = State(
            authority=self._read_authority(),
            leaf=self._read_leaf(),
            passwords=self._read_passwords(),
            hashes=self._read_hashes(),
            former=self._read_former(),
            http_secret=self._read_http_secret(),
            registry_host=registry_host,
            images=images,
        )
        if state.authority is None and not state.fresh:
            raise StateError(
                f"{self.folder} has lost its certificate authority (the folder authorities/)",
                f"{RESTORE}, or begin anew with deploys/adopt.py",
            )
        for account in sorted(set(state.hashes) - set(state.passwords)):
            raise StateError(
                f"{self.password_path(account)} is missing, though the account exists",
                f"{RESTORE}, or write a new password of your own into it",
            )
        if state.authority:
            self._check_public(state.authority)
        return state

    def write_authority(self, pair: Pair) -> None:
        """Write a new CA: certificate and key appear together, by the rename of one folder."""
        self._make(self.folder / "authorities")
        for unfinished in (self.folder / "authorities").glob(".new-*"):
            shutil.rmtree(unfinished)
        new = self.folder / "authorities" / f".new-{secrets.token_hex(4)}"
        self._make(new)
        self._write(new / "ca.key", pair.key_pem)
        self._write(new / "ca.crt", pair.certificate_pem)
        new.rename(self.folder / "authorities" / pair.fingerprint[:16])
        _sync(self.folder / "authorities")

    def write_public(self, pair: Pair) -> None:
        """Write `ca.crt`, the copy for people (readable by their other accounts' tools once they copy it)."""
        self._write(self.authority_path, pair.certificate_pem)

    def write_leaf(self, pair: Pair) -> None:
        """Write the leaf, certificate and key in one file."""
        self._write(self.folder / "leaf.pem", pair.certificate_pem + pair.key_pem)

    def write_password(self, account: str, password: str) -> None:
        """Write an account's password."""
        self._write(self.password_path(account), password + "\n")

    def write_hashes(self, hashes: Mapping[str, str]) -> None:
        """Write the htpasswd entries, so that a hash is kept as long as its password is."""
        self._write(self.folder / "htpasswd", accounts.htpasswd(hashes))

    def write_former(self, former: Mapping[str, Former]) -> None:
        """Write the hashes of former passwords that are good beside the present ones."""
        kept = {name: {"hash": each.hashed, "since": each.since.isoformat()} for name, each in former.items()}
        self._write(self.folder / "former.json", json.dumps(kept, indent=2) + "\n")

    def write_http_secret(self, secret: str) -> None:
        """Write the registry's `http.secret`: uploads that began before a restart go on only with the same one."""
        self._write(self.folder / "http.secret", secret + "\n")

    def write_record(self, registry_host: str, images: Mapping[str, str]) -> None:
        """Write to which host the state belongs and which image references were resolved to which digests."""
        record = {"registry_host": registry_host, "images": dict(sorted(images.items()))}
        self._write(self.folder / "record.json", json.dumps(record, indent=2) + "\n")

    def _read_authority(self) -> Pair | None:
        folders = [path for path in self._list("authorities") if not path.name.startswith(".new-")]
        if len(folders) > 1:
            raise StateError(f"{self.folder}/authorities holds {len(folders)} authorities, not one", RESTORE)
        for folder in folders:
            try:
                return read_pair((folder / "ca.crt").read_text(), (folder / "ca.key").read_text())
            except (ValueError, FileNotFoundError) as error:
                raise StateError(
                    f"the certificate authority in {folder} is damaged ({_first_line(error)})",
                    f"{RESTORE}, or begin anew with deploys/adopt.py",
                ) from None
        return None

    def _read_leaf(self) -> Pair | None:
        path = self.folder / "leaf.pem"
        if (text := _read(path)) is None:
            return None
        certificate, begin, key = text.partition("-----BEGIN PRIVATE KEY-----")
        try:
            return read_pair(certificate, begin + key)
        except ValueError as error:
            raise _damaged(path, error, "remove it; the next run makes a new certificate") from None

    def _read_passwords(self) -> dict[str, str]:
        passwords = {}
        for path in self._list("accounts"):
            if path.suffix != ".password" or path.name.startswith("."):
                continue
            try:
                password = path.read_text().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                raise _damaged(path, "it is not UTF-8 text", RESTORE) from None
            if problem := accounts.check(password):
                raise StateError(
                    f"{path} cannot be used: {problem}",
                    f"{RESTORE}, or write a new password of your own into it",
                )
            passwords[path.stem] = password
        return passwords

    def _read_hashes(self) -> dict[str, str]:
        path = self.folder / "htpasswd"
        try:
            return accounts.read_htpasswd(_read(path) or "")
        except ValueError as error:
            raise _damaged(path, error, "remove it; the next run hashes the passwords again") from None

    def _read_former(self) -> dict[str, Former]:
        path = self.folder / "former.json"
        try:
            read = json.loads(_read(path) or "{}")
            return {
                name: Former(str(each["hash"]), dt.datetime.fromisoformat(each["since"]))
                for name, each in read.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error, "remove it; former passwords are then refused") from None

    def _read_http_secret(self) -> str | None:
        path = self.folder / "http.secret"
        if (text := _read(path)) is None:
            return None
        if not re.fullmatch("[0-9a-f]{64}\n", text):
            raise _damaged(path, "it is not 64 hexadecimal digits", "remove it; the next run makes a new one")
        return text.strip()

    def _read_record(self) -> tuple[str | None, dict[str, str]]:
        path = self.folder / "record.json"
        if (text := _read(path)) is None:
            return None, {}
        try:
            record = json.loads(text)
            return str(record["registry_host"]), dict(record["images"])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error, "remove it; image tags are then resolved anew") from None

    def _check_public(self, authority: Pair) -> None:
        found = _read(self.authority_path)
        if found is not None and found != authority.certificate_pem:
            raise StateError(
                f"{self.authority_path} is not the certificate of the authority beside it",
                "remove it; the next run writes it again",
            )

    def _list(self, name: str) -> list[Path]:
        try:
            return sorted((self.folder / name).iterdir())
        except FileNotFoundError:
            return []

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def _keep_git_out(self) -> None:
        """The state may stand below any project."""
        (self.folder / ".gitignore").touch(mode=0o600)
        (self.folder / ".gitignore").write_text("*\n")

    def _write(self, path: Path, text: str) -> None:
        self._make(path.parent)
        self._keep_git_out()
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        new.rename(path)
        _sync(path.parent)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise _damaged(path, "it is not text", RESTORE) from None


def _damaged(path: Path, error: Exception | str, remedy: str) -> StateError:
    return StateError(f"{path} is damaged ({_first_line(error)})", remedy)


def _first_line(error: Exception | str) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:100]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
