"""The certificate authorities in the state: one, or two during a rollover, each in a folder named by its fingerprint.

A CA is added and removed by renaming its folder once, so that its certificate and key never exist without each other.
Files and folders with other names than ours are passed over: file managers, editors and file systems leave some.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from tasks.certificates.ca import KeyPair, issued_by, read_key_pair, to_pem
from tasks.certificates.rollover import Successor
from tasks.state.files import (
    ADOPT,
    RESTORE,
    StateError,
    StateFiles,
    damaged_file,
    first_line,
    list_folder,
    read_text,
    sync_folder,
)

_NAME = re.compile("[0-9a-f]{16}")
_LEFTOVER = re.compile(r"\.(new|old)-[0-9a-f]+")


class AuthorityFolders:
    """The folder `authorities/` of the state."""

    def __init__(self, files: StateFiles) -> None:
        self.files = files
        self.folder = files.folder / "authorities"

    def write(self, ca: KeyPair) -> None:
        """Write a new CA."""
        self._write_ca(ca, {})

    def write_successor(self, successor: Successor, old: KeyPair) -> None:
        """Write the CA that replaces `old`, and the state of the rollover."""
        extra = {"rollover.json": _rollover_json(successor, old)}
        if successor.cross_certificate:
            extra["cross.crt"] = to_pem(successor.cross_certificate)
        self._write_ca(successor.ca, extra)

    def write_rollover(self, successor: Successor, old: KeyPair) -> None:
        """Write how far the rollover from `old` to `successor` is."""
        self.files.write(self._folder_of(successor.ca) / "rollover.json", _rollover_json(successor, old))

    def write_cross_certificate(self, successor: KeyPair, cross_certificate: x509.Certificate) -> None:
        """Write the certificate with which the old CA signs the key of its successor."""
        self.files.write(self._folder_of(successor) / "cross.crt", to_pem(cross_certificate))

    def remove_old(self, old: KeyPair, successor: KeyPair) -> None:
        """End a rollover: remove the old CA and its key. After the rename, `read` finds only the successor."""
        self._folder_of(old).rename(self.folder / f".old-{secrets.token_hex(4)}")
        sync_folder(self.folder)
        for name in ("cross.crt", "rollover.json"):
            (self._folder_of(successor) / name).unlink(missing_ok=True)
        self.remove_leftovers()

    def remove_successor(self, successor: KeyPair) -> None:
        """Give up a rollover: remove the new CA and its key. After the rename, `read` finds only the old one."""
        self._folder_of(successor).rename(self.folder / f".old-{secrets.token_hex(4)}")
        sync_folder(self.folder)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove partly written and partly removed CAs of runs that were killed."""
        for path in self._folders(_LEFTOVER):
            shutil.rmtree(path)

    def read(self) -> tuple[KeyPair | None, Successor | None]:
        """Return the CA (the old one during a rollover) and its successor.

        Raise `StateError` if one is damaged or missing, or if there are too many.
        """
        folders = self._folders(_NAME)
        if len(folders) > 2:
            raise StateError(
                f"{self.folder} contains {len(folders)} certificate authorities, but there can be at most two",
                RESTORE,
            )
        cas = {folder: _read_ca(folder) for folder in folders}
        by_fingerprint = {ca.fingerprint: folder for folder, ca in cas.items()}
        rollovers = {folder: _read_rollover(folder) for folder in folders}
        for new, (old, issuing_since, retiring_old) in rollovers.items():
            if old in by_fingerprint and by_fingerprint[old] != new:
                predecessor = cas[by_fingerprint[old]]
                cross_certificate = _read_cross_certificate(new, predecessor, cas[new])
                return predecessor, Successor(cas[new], cross_certificate, issuing_since, retiring_old)
            if old and not retiring_old and len(folders) == 1:
                raise StateError(
                    f"{self.folder} has lost {old[:16]}, the certificate authority that is still in use",
                    ADOPT,
                )
        if len(folders) > 1:
            raise StateError(
                f"{self.folder} contains two certificate authorities, and neither is the successor of the other",
                RESTORE,
            )
        return next(iter(cas.values()), None), None

    def _folders(self, name: re.Pattern[str]) -> list[Path]:
        """Return the folders in ours with a name of that form."""
        return [path for path in list_folder(self.folder) if name.fullmatch(path.name) and path.is_dir()]

    def _folder_of(self, ca: KeyPair) -> Path:
        return self.folder / ca.fingerprint[:16]

    def _write_ca(self, ca: KeyPair, extra: Mapping[str, str]) -> None:
        self.files.make_folder(self.folder)
        self.remove_leftovers()
        new = self.folder / f".new-{secrets.token_hex(4)}"
        for name, text in {"ca.key": ca.key_pem, "ca.crt": ca.certificate_pem, **extra}.items():
            self.files.write(new / name, text)
        new.rename(self._folder_of(ca))
        sync_folder(self.folder)


def _read_ca(folder: Path) -> KeyPair:
    try:
        return read_key_pair((folder / "ca.crt").read_text(), (folder / "ca.key").read_text())
    except (ValueError, FileNotFoundError) as error:
        raise StateError(
            f"the certificate authority in {folder} is damaged ({first_line(error)})", ADOPT
        ) from None


def _read_rollover(folder: Path) -> tuple[str, dt.date | None, bool]:
    """Return the fingerprint of the CA that the one in `folder` replaces ("" if none), and how far the rollover is."""
    path = folder / "rollover.json"
    if (text := read_text(path)) is None:
        return "", None, False
    try:
        record = json.loads(text)
        issuing_since = record["switched"] and dt.date.fromisoformat(record["switched"])
        return str(record["succeeds"]), issuing_since, bool(record["retiring"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_file(path, error, RESTORE) from None


def _read_cross_certificate(folder: Path, old: KeyPair, new: KeyPair) -> x509.Certificate | None:
    path = folder / "cross.crt"
    if (text := read_text(path)) is None:
        return None
    remedy = "remove it; the next run recreates it"
    try:
        cross = x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise damaged_file(path, error, remedy) from None
    if not issued_by(cross, old.certificate) or cross.public_key() != new.key.public_key():
        raise damaged_file(
            path, "the old certificate authority did not sign the new one's key with it", remedy
        )
    return cross


def _rollover_json(successor: Successor, old: KeyPair) -> str:
    record = {
        "succeeds": old.fingerprint,
        "switched": successor.issuing_since and successor.issuing_since.isoformat(),
        "retiring": successor.retiring_old,
    }
    return json.dumps(record, indent=2) + "\n"
