"""Accounts: generated passwords, the htpasswd file, and which of its hashes still fit."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

import bcrypt

GENERATED_COST = 4
"""bcrypt's cost for 256 random bits: such a secret needs no slow hash (NIST SP 800-63B, section 5.1.2.2), and the
registry compares on every request."""

CUSTOM_COST = 12
"""bcrypt's cost for a custom password, one that a person chose."""

MAX_BYTES = 72
"""bcrypt ignores further bytes; accepting them would suggest a strength that is not there."""

PREFIX = "hlr_"
"""Begins every generated password, so that a custom one never gets the cheap hash."""

DECOY = "-"
"""The name of the entry that the registry compares for unknown names; no account can have it."""

DECOY_HASH = f"$2b${GENERATED_COST:02}$" + "." * 53
"""A hash of zeros, which fits no known password, at the cost of a generated one's: an unknown name takes as long to
reject as a known one."""

COMMENT = "# change "
"""Begins the line of an htpasswd file that says which change of the passwords it has."""

NEXT = "---"
"""Prefix of the account's name in the entry of its next password; no account's name begins with it."""


@dataclass(frozen=True)
class FormerPassword:
    """The hash of an account's former password, and since when (UTC) another one is the present one.

    `hosts` are those that stored it then, whatever the settings say now. `kubelet_updated` is when a kubelet last got
    the present one.
    """

    hashed: str = field(repr=False)
    since: dt.datetime
    hosts: tuple[str, ...] = ()
    kubelet_updated: dt.datetime | None = None


def generate() -> str:
    """Make a password of 256 random bits: the prefix, 43 characters, and a checksum of six that detects truncation."""
    body = urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"{PREFIX}{body}{_checksum(body)}"


def is_generated(password: str) -> bool:
    """Return whether `generate` made this password."""
    match = re.fullmatch(rf"{PREFIX}([A-Za-z0-9_-]{{43}})([A-Za-z0-9_-]{{6}})", password)
    return match is not None and match[2] == _checksum(match[1])


def check(password: str) -> str | None:
    """Return what is wrong with a password found in a file (its trailing newline dropped), or None."""
    size = len(password.encode())
    if not 1 <= size <= MAX_BYTES:
        return f"it is {size} bytes long; 1 to {MAX_BYTES} are allowed"
    if re.search(r"[\x00-\x1f\x7f]", password):
        return "it holds a line break or another control character"
    if password.startswith(PREFIX) and not is_generated(password):
        return "it was generated, but has been cut or changed since"
    return None


def hashes(passwords: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Return name → bcrypt hash for all accounts; a present hash that still fits its password is kept."""
    return {
        name: present[name] if name in present and fits(password, present[name]) else _hash(password)
        for name, password in sorted(passwords.items())
    }


def fits(password: str, hashed: str) -> bool:
    """Return whether a hash is that of the password, at the cost for such a password."""
    return hashed.startswith(f"$2b${_cost(password):02}$") and _matches(password, hashed)


def _matches(password: str, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), hashed.encode())
    except ValueError:
        return False


def htpasswd(hashed: Mapping[str, str], change: str = "") -> str:
    """Return the text of the htpasswd file, one line for each name; with `change`, it begins with a comment on that.

    The registry skips lines that begin with `#` (distribution, registry/auth/htpasswd/htpasswd.go).
    """
    comment = f"{COMMENT}{change}\n" if change else ""
    return comment + "".join(f"{name}:{value}\n" for name, value in sorted(hashed.items()))


def entries(hashed: Mapping[str, str], former: Mapping[str, str]) -> dict[str, str]:
    """Return the registry's entries, name → hash: those of all accounts, and the decoy.

    If there are `former` passwords (by account), each name has two entries: its own, with the former password if it
    has one, and one prefixed with `NEXT`, with the present password. So requests under way stay valid when a former
    password comes or goes, and each name costs the same to compare.
    """
    present = {**hashed, DECOY: DECOY_HASH}
    beside = {NEXT + name: value for name, value in present.items()} if former else {}
    return {**present, **former, **beside}


def add_next_entries(text: str) -> str:
    """Return an htpasswd file with a second entry for each, prefixed with `NEXT`."""
    lines = text.splitlines(keepends=True)
    comments = [line for line in lines if line.startswith("#")]
    entries = [line for line in lines if line not in comments]
    return "".join([*comments, *sorted(line for once in entries for line in (once, NEXT + once))])


def has_next_entries(text: str) -> bool:
    """Return whether an htpasswd file has two entries for each name."""
    return any(line.startswith(NEXT) for line in text.splitlines())


def find_former(
    passwords: Mapping[str, str],
    hashed: Mapping[str, str],
    present: Mapping[str, str],
    former: Mapping[str, FormerPassword],
    now: dt.datetime,
) -> dict[str, FormerPassword]:
    """Return the former password of each account that has one.

    That is the `present` hash if it no longer fits the account's password, else the one in `former`. At most two
    passwords are valid at a time: a new former one replaces an older one. `hashed` is what `hashes` returns for these
    passwords: a hash that it kept is not compared again.
    """
    found = {}
    for name, password in passwords.items():
        before, known = present.get(name), former.get(name)
        if before is None:  # the list is lost: it is not known whether the password has changed
            if known and not _matches(password, known.hashed):
                found[name] = known
        elif hashed[name] != before and not _matches(password, before):
            # Known already if a run was killed before it wrote the new hash.
            found[name] = known if known and known.hashed == before else FormerPassword(before, now)
        elif known and known.hashed != before:
            found[name] = known
    return found


def custom_accounts(text: str) -> list[str]:
    """Return the accounts in an htpasswd file with a custom password."""
    found = (line.partition(":") for line in text.splitlines())
    custom = f"$2b${CUSTOM_COST:02}$"
    return sorted({name.removeprefix(NEXT) for name, _, hashed in found if hashed.startswith(custom)})


def read_htpasswd(text: str) -> dict[str, str]:
    """Return name → hash of an htpasswd file without comments; `ValueError` if a line does not have that form."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([^:]+):(\$2b\$\d\d\$[./A-Za-z0-9]{53})", line)
        if not match:
            raise ValueError("a line is not of the form name:hash")
        found[match[1]] = match[2]
    return found


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_cost(password))).decode()


def _cost(password: str) -> int:
    return GENERATED_COST if is_generated(password) else CUSTOM_COST


def _checksum(body: str) -> str:
    return urlsafe_b64encode(zlib.crc32(body.encode()).to_bytes(4, "big")).decode()[:6]
