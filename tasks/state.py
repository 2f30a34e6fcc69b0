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

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.model import accounts
from tasks.model.accounts import Former
from tasks.model.authority import Pair, issued_by, pem, read_pair
from tasks.model.rollover import Successor

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

    def password_path(self, account: str) -> Path:
        """Return the file with an account's password."""
        return self.folder / "accounts" / f"{account}.password"

    @property
    def authority_path(self) -> Path:
        """The certificate of the CA (of both during a rollover), for machines outside the inventory."""
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
            self._clear()
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
        authority, successor = self._read_authorities()
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
                f"{RESTORE}, or begin anew with deploys/adopt.py",
            )
        for account in sorted(set(state.hashes) - set(state.passwords)):
            raise StateError(
                f"{self.password_path(account)} is missing, though the account exists",
                f"{RESTORE}, or write a new password of your own into it",
            )
        if state.authority:
            self._check_public(state.authority, state.successor)
        return state

    def write_authority(self, pair: Pair) -> None:
        """Write a new CA: certificate and key appear together, by the rename of one folder."""
        self._write_authority(pair, {})

    def write_successor(self, successor: Successor, old: Pair) -> None:
        """Write a CA that is to take the place of `old`, with all that is kept of the rollover, in the same way."""
        more = {"rollover.json": _rollover(successor, old)}
        if successor.cross:
            more["cross.crt"] = pem(successor.cross)
        self._write_authority(successor.pair, more)

    def write_rollover(self, successor: Successor, old: Pair) -> None:
        """Write how far the rollover from `old` to its successor is."""
        self._write(self._authority_folder(successor.pair) / "rollover.json", _rollover(successor, old))

    def write_cross(self, successor: Pair, cross: x509.Certificate) -> None:
        """Write the certificate by which the old CA certifies the key of its successor."""
        self._write(self._authority_folder(successor) / "cross.crt", pem(cross))

    def drop_authority(self, old: Pair, successor: Pair) -> None:
        """Remove a CA and its key: with one rename its successor stands alone, and what is left of it is no CA."""
        gone = self.folder / "authorities" / f".old-{secrets.token_hex(4)}"
        self._authority_folder(old).rename(gone)
        _sync(self.folder / "authorities")
        for name in ("cross.crt", "rollover.json"):
            (self._authority_folder(successor) / name).unlink(missing_ok=True)
        self._clear()

    def read_public(self) -> str | None:
        """Return the text of `ca.crt`, None where it is missing."""
        return _read(self.authority_path)

    def write_public(self, pem: str) -> None:
        """Write `ca.crt`, the copy for people (readable by their other accounts' tools once they copy it)."""
        self._write(self.authority_path, pem)

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

    def _read_authorities(self) -> tuple[Pair | None, Successor | None]:
        """Read the CA, and during a rollover its successor, which names the one that it succeeds."""
        folders = [path for path in self._list("authorities") if not path.name.startswith(".")]
        if len(folders) > 2:
            raise StateError(
                f"{self.folder}/authorities holds {len(folders)} authorities, where two are the most", RESTORE
            )
        pairs = {folder: self._read_authority(folder) for folder in folders}
        by_fingerprint = {pair.fingerprint: folder for folder, pair in pairs.items()}
        succeeding = {folder: self._read_rollover(folder) for folder in folders}
        for new, (old, switched, retiring) in succeeding.items():
            if old in by_fingerprint and by_fingerprint[old] != new:
                predecessor = pairs[by_fingerprint[old]]
                cross = self._read_cross(new, predecessor, pairs[new])
                return predecessor, Successor(pairs[new], cross, switched, retiring)
            if old and not retiring and len(folders) == 1:
                raise StateError(
                    f"{self.folder}/authorities has lost {old[:16]}, the authority that is not replaced yet",
                    f"{RESTORE}, or begin anew with deploys/adopt.py",
                )
        if len(folders) > 1:
            raise StateError(
                f"{self.folder}/authorities holds two authorities, of which neither succeeds the other",
                RESTORE,
            )
        return next(iter(pairs.values()), None), None

    def _read_authority(self, folder: Path) -> Pair:
        try:
            return read_pair((folder / "ca.crt").read_text(), (folder / "ca.key").read_text())
        except (ValueError, FileNotFoundError) as error:
            raise StateError(
                f"the certificate authority in {folder} is damaged ({_first_line(error)})",
                f"{RESTORE}, or begin anew with deploys/adopt.py",
            ) from None

    def _read_rollover(self, folder: Path) -> tuple[str, dt.date | None, bool]:
        """Return the fingerprint of the CA that the one in `folder` succeeds ("" for none), and how far that is."""
        path = folder / "rollover.json"
        if (text := _read(path)) is None:
            return "", None, False
        try:
            record = json.loads(text)
            switched = record["switched"] and dt.date.fromisoformat(record["switched"])
            return str(record["succeeds"]), switched, bool(record["retiring"])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error, RESTORE) from None

    def _read_cross(self, folder: Path, old: Pair, new: Pair) -> x509.Certificate | None:
        path = folder / "cross.crt"
        if (text := _read(path)) is None:
            return None
        remedy = "remove it; the next run makes it again"
        try:
            cross = x509.load_pem_x509_certificate(text.encode())
        except ValueError as error:
            raise _damaged(path, error, remedy) from None
        if not issued_by(cross, old.certificate) or cross.public_key() != new.key.public_key():
            raise _damaged(path, "it does not certify the new authority by the old one", remedy)
        return cross

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

    def _authority_folder(self, pair: Pair) -> Path:
        return self.folder / "authorities" / pair.fingerprint[:16]

    def _write_authority(self, pair: Pair, more: Mapping[str, str]) -> None:
        self._make(self.folder / "authorities")
        self._clear()
        new = self.folder / "authorities" / f".new-{secrets.token_hex(4)}"
        self._make(new)
        for name, text in {"ca.key": pair.key_pem, "ca.crt": pair.certificate_pem, **more}.items():
            self._write(new / name, text)
        new.rename(self._authority_folder(pair))
        _sync(self.folder / "authorities")

    def _clear(self) -> None:
        """Remove what a killed run left of a CA that was being made or dropped."""
        for path in self._list("authorities"):
            if path.name.startswith("."):
                shutil.rmtree(path)

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


def _rollover(successor: Successor, old: Pair) -> str:
    record = {
        "succeeds": old.fingerprint,
        "switched": successor.switched and successor.switched.isoformat(),
        "retiring": successor.retiring,
    }
    return json.dumps(record, indent=2) + "\n"


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
