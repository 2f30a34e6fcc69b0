"""What the controller keeps: reading and writing `state/`, and nothing of what it means.

A file that cannot be read stops the run (`StateError`) with the way to go on.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.accounts import passwords as accounts
from tasks.accounts.passwords import Former
from tasks.certificates.ca import Pair, read_pair
from tasks.certificates.rollover import Successor
from tasks.state.authorities import ADOPT, AuthorityFolders
from tasks.state.files import RESTORE, Files, StateError, damaged, read, within


@dataclass(frozen=True)
class State:
    """All that was read. An empty one (`fresh`) belongs to nobody yet."""

    authority: Pair | None = None
    successor: Successor | None = None
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
        self._files = Files(folder)
        self.authorities = AuthorityFolders(self._files)

    def password_path(self, account: str) -> Path:
        """Return the file with an account's password."""
        return self.folder / "accounts" / f"{account}.password"

    @property
    def authority_path(self) -> Path:
        """The certificate of the CA (of both during a rollover), for machines outside the inventory."""
        return self.folder / "ca.crt"

    @contextmanager
    def lock(self, patience: float = 0) -> Iterator[None]:
        """Hold the state for one run; `StateError` where another run holds it, after so many seconds of `patience`.

        The lock is the kernel's and ends with the process, so a killed run leaves none behind.
        """
        end = time.monotonic() + patience
        self._files.make(self.folder)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        while not _locked(handle):
            if time.monotonic() >= end:
                os.close(handle)
                raise StateError(
                    f"another run is using {self.folder}", "wait until it has ended, then run again"
                )
            time.sleep(1)
        try:
            self.authorities.clear()
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
        authority, successor = self.authorities.read()
        state = State(
            authority=authority,
            successor=successor,
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
                ADOPT,
            )
        for account in sorted(set(state.hashes) - set(state.passwords)):
            raise StateError(
                f"{self.password_path(account)} is missing, though the account exists",
                f"{RESTORE}, or write a new password of your own into it",
            )
        if state.authority:
            self._check_public(state.authority, state.successor)
        return state

    def read_public(self) -> str | None:
        """Return the text of `ca.crt`, None where it is missing."""
        return read(self.authority_path)

    def write_public(self, pem: str) -> None:
        """Write `ca.crt`, the copy for people (readable by their other accounts' tools once they copy it)."""
        self._files.write(self.authority_path, pem)

    def write_leaf(self, pair: Pair) -> None:
        """Write the leaf, certificate and key in one file."""
        self._files.write(self.folder / "leaf.pem", pair.certificate_pem + pair.key_pem)

    def write_password(self, account: str, password: str) -> None:
        """Write an account's password."""
        self._files.write(self.password_path(account), password + "\n")

    def write_hashes(self, hashes: Mapping[str, str]) -> None:
        """Write the htpasswd entries, so that a hash is kept as long as its password is."""
        self._files.write(self.folder / "htpasswd", accounts.htpasswd(hashes))

    def write_former(self, former: Mapping[str, Former]) -> None:
        """Write the hashes of former passwords that are good beside the present ones."""
        kept = {
            name: {
                "hash": each.hashed,
                "since": each.since.isoformat(),
                "hosts": each.hosts,
                "told": each.told and each.told.isoformat(),
            }
            for name, each in former.items()
        }
        self._files.write(self.folder / "former.json", json.dumps(kept, indent=2) + "\n")

    def write_http_secret(self, secret: str) -> None:
        """Write the registry's `http.secret`: uploads that began before a restart go on only with the same one."""
        self._files.write(self.folder / "http.secret", secret + "\n")

    def write_record(self, registry_host: str, images: Mapping[str, str]) -> None:
        """Write to which host the state belongs and which image references were resolved to which digests."""
        record = {"registry_host": registry_host, "images": dict(sorted(images.items()))}
        self._files.write(self.folder / "record.json", json.dumps(record, indent=2) + "\n")

    def _read_leaf(self) -> Pair | None:
        path = self.folder / "leaf.pem"
        if (text := read(path)) is None:
            return None
        certificate, begin, key = text.partition("-----BEGIN PRIVATE KEY-----")
        try:
            return read_pair(certificate, begin + key)
        except ValueError as error:
            raise damaged(path, error, "remove it; the next run makes a new certificate") from None

    def _read_passwords(self) -> dict[str, str]:
        passwords = {}
        for path in within(self.folder / "accounts"):
            if path.suffix != ".password" or path.name.startswith("."):
                continue
            try:
                password = path.read_text().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                raise damaged(path, "it is not UTF-8 text", RESTORE) from None
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
            return accounts.read_htpasswd(read(path) or "")
        except ValueError as error:
            raise damaged(path, error, "remove it; the next run hashes the passwords again") from None

    def _read_former(self) -> dict[str, Former]:
        path = self.folder / "former.json"
        try:
            return {
                name: Former(
                    str(each["hash"]),
                    dt.datetime.fromisoformat(each["since"]),
                    tuple(map(str, each["hosts"])),
                    each["told"] and dt.datetime.fromisoformat(each["told"]),
                )
                for name, each in json.loads(read(path) or "{}").items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path, error, "remove it; former passwords are then refused") from None

    def _read_http_secret(self) -> str | None:
        path = self.folder / "http.secret"
        if (text := read(path)) is None:
            return None
        if not re.fullmatch("[0-9a-f]{64}\n", text):
            raise damaged(path, "it is not 64 hexadecimal digits", "remove it; the next run makes a new one")
        return text.strip()

    def _read_record(self) -> tuple[str | None, dict[str, str]]:
        path = self.folder / "record.json"
        if (text := read(path)) is None:
            return None, {}
        try:
            record = json.loads(text)
            return str(record["registry_host"]), dict(record["images"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, error, "remove it; image tags are then resolved anew") from None

    def _check_public(self, authority: Pair, successor: Successor | None) -> None:
        """Raise `StateError` where `ca.crt` has a certificate that is not known; an older stage's may be there."""
        if (found := self.read_public()) is None:
            return
        known = {authority.fingerprint} | ({successor.pair.fingerprint} if successor else set())
        try:
            shown = x509.load_pem_x509_certificates(found.encode())
        except ValueError:
            shown = []
        if not shown or not {each.fingerprint(hashes.SHA256()).hex() for each in shown} <= known:
            raise StateError(
                f"{self.authority_path} is not the certificate of the authority beside it",
                "remove it; the next run writes it again",
            )


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
