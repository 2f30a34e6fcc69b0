"""What the state keeps of accounts: passwords, their hashes, former passwords, and the history of all these."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.accounts import passwords
from tasks.accounts.passwords import FormerPassword
from tasks.state import changes
from tasks.state.changes import Change
from tasks.state.files import (
    ADOPT,
    RESTORE,
    StateError,
    StateFiles,
    damaged_file,
    list_folder,
    read_text,
    sync_folder,
)


class AccountFiles:
    """The files on accounts in the state's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = StateFiles(folder)

    def password_path(self, account: str) -> Path:
        """Return the path of the file with an account's password."""
        return self.folder / "accounts" / f"{account}.password"

    def write_password(self, account: str, password: str) -> None:
        """Write an account's password."""
        self._files.write(self.password_path(account), password + "\n")

    def remove_password(self, account: str) -> None:
        """Remove the file with an account's password."""
        self.password_path(account).unlink(missing_ok=True)
        sync_folder(self.password_path(account).parent)

    def set_password_aside(self, account: str, now: dt.datetime) -> None:
        """Rename the file with an account's password to a new name, so that it is kept and not used."""
        path = self.password_path(account)
        path.rename(path.with_suffix(f".removed-{now:%Y%m%d-%H%M%S}"))
        sync_folder(path.parent)

    def write_hashes(self, hashes: Mapping[str, str]) -> None:
        """Write the htpasswd entries, so that later runs keep a password's hash."""
        self._files.write(self.folder / "htpasswd", passwords.htpasswd(hashes))

    def write_former(self, former: Mapping[str, FormerPassword]) -> None:
        """Write the hashes of former passwords that are still accepted."""
        record = {
            name: {
                "hash": each.hashed,
                "since": each.since.isoformat(),
                "hosts": each.hosts,
                "told": each.kubelet_updated and each.kubelet_updated.isoformat(),
            }
            for name, each in former.items()
        }
        self._files.write(self.folder / "former.json", json.dumps(record, indent=2) + "\n")

    def write_changes(self, changes: Iterable[Change]) -> None:
        """Write the history of the passwords."""
        self._files.write(self.folder / "changes", "".join(f"{each}\n" for each in changes))

    def read_passwords(self) -> dict[str, str]:
        """Return account → password; `StateError` if a file is damaged."""
        found = {}
        for path in list_folder(self.folder / "accounts"):
            # Of another name are the copies of editors, file managers and synchronization ("ci copy.password").
            if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*\.password", path.name) or not path.is_file():
                continue
            try:
                password = path.read_text().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                raise damaged_file(path, "it is not UTF-8 text", RESTORE) from None
            if problem := passwords.check(password):
                raise StateError(
                    f"{path} cannot be used: {problem}",
                    f"{RESTORE}, or write a new password of your own into it",
                )
            found[path.stem] = password
        return found

    def read_hashes(self) -> dict[str, str]:
        """Return account → hash; `StateError` if the file is damaged."""
        path = self.folder / "htpasswd"
        try:
            return passwords.read_htpasswd(read_text(path) or "")
        except ValueError as error:
            raise damaged_file(path, error, "remove it; the next run hashes the passwords again") from None

    def read_former(self) -> dict[str, FormerPassword]:
        """Return account → former password; `StateError` if the file is damaged."""
        path = self.folder / "former.json"
        try:
            return {
                name: FormerPassword(
                    str(each["hash"]),
                    dt.datetime.fromisoformat(each["since"]),
                    tuple(map(str, each["hosts"])),
                    each["told"] and dt.datetime.fromisoformat(each["told"]),
                )
                for name, each in json.loads(read_text(path) or "{}").items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged_file(path, error, "remove it; the registry then refuses former passwords") from None

    def read_changes(self) -> tuple[Change, ...]:
        """Return the history, the last change last; `StateError` if the file is damaged."""
        path = self.folder / "changes"
        try:
            return tuple(map(changes.parse, (read_text(path) or "").splitlines()))
        except ValueError as error:
            raise damaged_file(path, error, ADOPT) from None
