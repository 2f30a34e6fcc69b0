"""The certificate authorities of the state: one, or during a rollover two, each in a folder that its fingerprint names.

A CA comes and goes by one rename, of its folder, so that certificate and key are there together or not at all.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from tasks.certificates.ca import Pair, issued_by, pem, read_pair
from tasks.certificates.rollover import Successor
from tasks.state.files import RESTORE, Files, StateError, damaged, first_line, read, sync, within

ADOPT = f"{RESTORE}, or begin anew with deploys/adopt.py"


class AuthorityFolders:
    """The folder `authorities/`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.folder = files.folder / "authorities"

    def write(self, pair: Pair) -> None:
        """Write a new CA."""
        self._write(pair, {})

    def write_successor(self, successor: Successor, old: Pair) -> None:
        """Write a CA that is to take the place of `old`, with all that is kept of the rollover."""
        more = {"rollover.json": _rollover(successor, old)}
        if successor.cross:
            more["cross.crt"] = pem(successor.cross)
        self._write(successor.pair, more)

    def write_rollover(self, successor: Successor, old: Pair) -> None:
        """Write how far the rollover from `old` to its successor is."""
        self.files.write(self._of(successor.pair) / "rollover.json", _rollover(successor, old))

    def write_cross(self, successor: Pair, cross: x509.Certificate) -> None:
        """Write the certificate by which the old CA certifies the key of its successor."""
        self.files.write(self._of(successor) / "cross.crt", pem(cross))

    def drop(self, old: Pair, successor: Pair) -> None:
        """Remove a CA and its key: with one rename its successor stands alone, and what is left of it is no CA."""
        self._of(old).rename(self.folder / f".old-{secrets.token_hex(4)}")
        sync(self.folder)
        for name in ("cross.crt", "rollover.json"):
            (self._of(successor) / name).unlink(missing_ok=True)
        self.clear()

    def clear(self) -> None:
        """Remove what a killed run left of a CA that was being made or dropped."""
        for path in within(self.folder):
            if path.name.startswith("."):
                shutil.rmtree(path)

    def read(self) -> tuple[Pair | None, Successor | None]:
        """Read the CA, and during a rollover its successor, which names the one that it succeeds.

        `StateError` where one is damaged or missing, or there are more than there can be.
        """
        folders = [path for path in within(self.folder) if not path.name.startswith(".")]
        if len(folders) > 2:
            raise StateError(
                f"{self.folder} holds {len(folders)} authorities, where two are the most", RESTORE
            )
        pairs = {folder: _read_pair(folder) for folder in folders}
        by_fingerprint = {pair.fingerprint: folder for folder, pair in pairs.items()}
        succeeding = {folder: _read_rollover(folder) for folder in folders}
        for new, (old, switched, retiring) in succeeding.items():
            if old in by_fingerprint and by_fingerprint[old] != new:
                predecessor = pairs[by_fingerprint[old]]
                cross = _read_cross(new, predecessor, pairs[new])
                return predecessor, Successor(pairs[new], cross, switched, retiring)
            if old and not retiring and len(folders) == 1:
                raise StateError(
                    f"{self.folder} has lost {old[:16]}, the authority that is not replaced yet", ADOPT
                )
        if len(folders) > 1:
            raise StateError(
                f"{self.folder} holds two authorities, of which neither succeeds the other", RESTORE
            )
        return next(iter(pairs.values()), None), None

    def _of(self, pair: Pair) -> Path:
        return self.folder / pair.fingerprint[:16]

    def _write(self, pair: Pair, more: Mapping[str, str]) -> None:
        self.files.make(self.folder)
        self.clear()
        new = self.folder / f".new-{secrets.token_hex(4)}"
        for name, text in {"ca.key": pair.key_pem, "ca.crt": pair.certificate_pem, **more}.items():
            self.files.write(new / name, text)
        new.rename(self._of(pair))
        sync(self.folder)


def _read_pair(folder: Path) -> Pair:
    try:
        return read_pair((folder / "ca.crt").read_text(), (folder / "ca.key").read_text())
    except (ValueError, FileNotFoundError) as error:
        raise StateError(
            f"the certificate authority in {folder} is damaged ({first_line(error)})", ADOPT
        ) from None


def _read_rollover(folder: Path) -> tuple[str, dt.date | None, bool]:
    """Return the fingerprint of the CA that the one in `folder` succeeds ("" for none), and how far that is."""
    path = folder / "rollover.json"
    if (text := read(path)) is None:
        return "", None, False
    try:
        record = json.loads(text)
        switched = record["switched"] and dt.date.fromisoformat(record["switched"])
        return str(record["succeeds"]), switched, bool(record["retiring"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error, RESTORE) from None


def _read_cross(folder: Path, old: Pair, new: Pair) -> x509.Certificate | None:
    path = folder / "cross.crt"
    if (text := read(path)) is None:
        return None
    remedy = "remove it; the next run makes it again"
    try:
        cross = x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise damaged(path, error, remedy) from None
    if not issued_by(cross, old.certificate) or cross.public_key() != new.key.public_key():
        raise damaged(path, "it does not certify the new authority by the old one", remedy)
    return cross


def _rollover(successor: Successor, old: Pair) -> str:
    record = {
        "succeeds": old.fingerprint,
        "switched": successor.switched and successor.switched.isoformat(),
        "retiring": successor.retiring,
    }
    return json.dumps(record, indent=2) + "\n"
