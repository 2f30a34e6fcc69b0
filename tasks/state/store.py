"""Read and write `state/`, the files that the controller keeps between runs.

A damaged or unreadable file stops the run with a `StateError` that says how to continue.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.accounts.passwords import FormerPassword
from tasks.certificates.ca import KeyPair, read_key_pair
from tasks.certificates.rollover import Successor
from tasks.state import history
from tasks.state.accounts import AccountFiles
from tasks.state.authorities import AuthorityFolders
from tasks.state.changes import Change
from tasks.state.files import (
    ADOPT,
    RESTORE,
    StateError,
    damaged_file,
    list_folder,
    read_text,
)
from tasks.state.history import Day


@dataclass(frozen=True)
class State:
    """The content of the state's files; None and empty fields stand for missing files.

    `storage` is the folder of the images on the registry host, and the id in its mark.
    """

    authority: KeyPair | None = None
    successor: Successor | None = None
    leaf: KeyPair | None = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)
    former: Mapping[str, FormerPassword] = field(default_factory=dict, repr=False)
    changes: tuple[Change, ...] = ()
    http_secret: str | None = field(default=None, repr=False)
    registry_host: str | None = None
    images: dict[str, str] = field(default_factory=dict)
    storage: tuple[str, str] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no run has written anything yet."""
        return self == State()


OWN = frozenset(
    {"accounts", "authorities", "ca.crt", "former.json", "htpasswd", "http.secret", "leaf.pem", "record.json",
     "upstream"}
)  # fmt: skip
"""The names of which a state has at least one."""

IGNORED = re.compile(r"\.gitignore|\..*\.new|\.DS_Store|lost\+found")
"""Names that say nothing: ours before there is a state, and what systems leave in any folder."""


class Store(AccountFiles):
    """The state's folder on the controller."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authorities = AuthorityFolders(self._files)

    @property
    def ca_bundle_path(self) -> Path:
        """The path of the CA certificates (two during a rollover) that machines outside the inventory are to trust."""
        return self.folder / "ca.crt"

    @property
    def is_begun(self) -> bool:
        """Whether a run has written anything here; a password that somebody put there before does not count."""
        return any((self.folder / name).exists() for name in OWN - {"accounts"})

    def check_folder(self) -> None:
        """Raise `StateError` if the folder has other things in it and no state: it gets a mode and a `.gitignore`."""
        if not self.folder.is_dir():
            return
        others = {path.name for path in list_folder(self.folder) if not IGNORED.fullmatch(path.name)}
        if others and not others & OWN:
            raise StateError(
                f"registry_state_dir {self.folder} has other things in it ({', '.join(sorted(others)[:4])})",
                f"give the state a folder of its own, such as {self.folder}/homelab-registry, and run again",
            )

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Lock the state for one run; raise `StateError` if another run still holds the lock after `timeout` seconds.

        The kernel releases the lock when the process ends, so a killed run leaves none behind. A folder that is still
        empty at the end is removed: another state may be moved there.
        """
        end = time.monotonic() + timeout
        while (handle := self._try_lock()) is None:
            if time.monotonic() >= end:
                raise StateError(
                    f"another run is using {self.folder}", "wait until it has ended, then run again"
                )
            time.sleep(1)
        try:
            self.authorities.remove_leftovers()
            yield
        finally:
            with suppress(OSError):  # it has something in it
                self.folder.rmdir()
            fcntl.flock(handle, fcntl.LOCK_UN)  # gevent delays a close until its loop runs again
            os.close(handle)

    def _try_lock(self) -> int | None:
        """Return a handle that holds the lock; None if another run holds it, or removed the folder meanwhile."""
        handle = self._open_folder()
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), self.folder.stat()):
                return handle
        os.close(handle)
        return None

    def _open_folder(self, attempts: int = 3) -> int:
        """Make the folder if it is missing, and return a handle of it; `OSError` if it cannot be made.

        A run that just ends removes it between any two steps, also between the system's EEXIST and `Path.mkdir`'s look
        at what exists. In one that cannot be made, such as below `/proc`, the same error comes again.
        """
        try:
            self._files.make_folder(self.folder)
            return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, FileNotFoundError):
            if attempts == 1:
                raise
            return self._open_folder(attempts - 1)

    def read(self, accounts: Collection[str] | None = None) -> State:
        """Read all files; raise `StateError` if one is damaged, or missing although others refer to it.

        A password may be missing if `accounts` lacks its account: a run that removed that was killed.
        """
        try:
            return self._read_all(accounts)
        except OSError as error:
            raise StateError(
                f"{error.filename} cannot be read ({error.strerror})", "run as the user who owns the state"
            ) from None

    def _read_all(self, accounts: Collection[str] | None) -> State:
        registry_host, images, storage = self._read_record()
        authority, successor = self.authorities.read()
        state = State(
            authority=authority,
            successor=successor,
            leaf=self._read_leaf(),
            passwords=self.read_passwords(),
            hashes=self.read_hashes(),
            former=self.read_former(),
            changes=self.read_changes(),
            http_secret=self._read_http_secret(),
            registry_host=registry_host,
            images=images,
            storage=storage,
        )
        if state.authority is None and not state.is_empty:
            raise StateError(
                f"{self.folder} has lost its certificate authority (the folder authorities/)",
                ADOPT,
            )
        for account in sorted(set(state.hashes) - set(state.passwords)):
            if accounts is not None and account not in accounts:
                continue
            raise StateError(
                f"{self.password_path(account)} is missing, though the account exists",
                f"{RESTORE}, or write a new password of your own into it",
            )
        if state.authority:
            self._check_ca_bundle(state.authority, state.successor)
        return state

    def read_ca_bundle(self) -> str | None:
        """Return the text of `ca.crt`, None if it is missing."""
        return read_text(self.ca_bundle_path)

    def write_ca_bundle(self, pem: str) -> None:
        """Write `ca.crt`, the CA certificates for machines outside the inventory."""
        self._files.write(self.ca_bundle_path, pem)

    def write_leaf(self, leaf: KeyPair) -> None:
        """Write the leaf: its certificate and key, in one file."""
        self._files.write(self.folder / "leaf.pem", leaf.certificate_pem + leaf.key_pem)

    def write_http_secret(self, secret: str) -> None:
        """Write the registry's `http.secret`, without which an upload cannot continue after a restart."""
        self._files.write(self.folder / "http.secret", secret + "\n")

    def read_upstream_secrets(self, accounts: Mapping[str, str]) -> dict[str, str]:
        """Return the access tokens of accounts at registries in the internet, which a person puts into files.

        `accounts` has the login name by the registry's name. Raise `StateError` if a file is missing or unusable.
        """
        found = {}
        for name, login in accounts.items():
            path = self.folder / "upstream" / name
            try:
                text = (read_text(path) or "").strip()
            except OSError:
                text = ""
            if not re.fullmatch("[!-~]{1,4000}", text):
                raise StateError(
                    f"{path} has no access token of the account {login} at {name}",
                    f"write the token into it, with mode 0600, or take {name} out of registry_cache_accounts",
                )
            found[name] = text
        return found

    def write_record(
        self, registry_host: str, images: Mapping[str, str], storage: tuple[str, str] | None
    ) -> None:
        """Write the registry host that the state belongs to, the digests of image names, and where the images are."""
        record = {"registry_host": registry_host, "images": dict(sorted(images.items())), "storage": storage}
        self._files.write(self.folder / "record.json", json.dumps(record, indent=2) + "\n")

    def write_seen(self, seen: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        """Write what was seen of clients, by host and role: a digest of what they were asked, and who trusts."""
        record = {
            key: {"asked": asked, "trusting": trusting} for key, (asked, trusting) in sorted(seen.items())
        }
        self._files.write(self.folder / "seen.json", json.dumps(record, indent=2) + "\n")

    def read_seen(self) -> dict[str, tuple[str, list[str]]]:
        """Return what `write_seen` wrote; nothing if it cannot be read, since all can be asked again."""
        try:
            record = json.loads((self.folder / "seen.json").read_bytes())
            return {
                key: (str(each["asked"]), [str(title) for title in each["trusting"]])
                for key, each in record.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def read_history(self) -> tuple[Day, ...]:
        """Return how much was used on past days, as far as that is known."""
        try:
            return history.read((self.folder / "usage").read_text().splitlines())
        except (OSError, ValueError):
            return ()

    def write_history(self, days: Sequence[Day]) -> None:
        """Write how much was used on past days."""
        self._files.write(self.folder / "usage", "".join(f"{day}\n" for day in days))

    def write_backups(self, backups: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the last good backup by what keeps it: a host's name, or the path of a folder or program."""
        self._files.write(self.folder / "backups.json", json.dumps(backups, indent=2, sort_keys=True) + "\n")

    def read_backups(self) -> dict[str, dict[str, Any]]:
        """Return what `write_backups` wrote; nothing if it cannot be read: that no backup is known is then said."""
        try:
            record = json.loads((self.folder / "backups.json").read_bytes())
            return {str(target): dict(backup) for target, backup in record.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _read_leaf(self) -> KeyPair | None:
        path = self.folder / "leaf.pem"
        if (text := read_text(path)) is None:
            return None
        certificate, begin, key = text.partition("-----BEGIN PRIVATE KEY-----")
        try:
            return read_key_pair(certificate, begin + key)
        except ValueError as error:
            raise damaged_file(path, error, "remove it; the next run makes a new certificate") from None

    def _read_http_secret(self) -> str | None:
        path = self.folder / "http.secret"
        if (text := read_text(path)) is None:
            return None
        if not re.fullmatch("[0-9a-f]{64}\n", text):
            raise damaged_file(
                path, "it is not 64 hexadecimal digits", "remove it; the next run makes a new one"
            )
        return text.strip()

    def _read_record(self) -> tuple[str | None, dict[str, str], tuple[str, str] | None]:
        path = self.folder / "record.json"
        if (text := read_text(path)) is None:
            return None, {}, None
        try:
            record = json.loads(text)
            folder, mark = record.get("storage") or (None, None)
            storage = (str(folder), str(mark)) if folder else None
            return str(record["registry_host"]), dict(record["images"]), storage
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged_file(path, error, "remove it; the next run resolves the image tags again") from None

    def _check_ca_bundle(self, authority: KeyPair, successor: Successor | None) -> None:
        """Raise `StateError` if `ca.crt` contains an unknown CA; it may be from an earlier stage of a rollover."""
        if (text := self.read_ca_bundle()) is None:
            return
        known = {authority.fingerprint} | ({successor.ca.fingerprint} if successor else set())
        try:
            found = x509.load_pem_x509_certificates(text.encode())
        except ValueError:
            found = []
        if not found or not {each.fingerprint(hashes.SHA256()).hex() for each in found} <= known:
            raise StateError(
                f"{self.ca_bundle_path} does not match the certificate authority in {self.authorities.folder}",
                "remove it; the next run recreates it",
            )
