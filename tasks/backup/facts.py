"""What the registry host and the hosts in `backup_hosts` have for backups: one round trip each, no secret is read."""

from __future__ import annotations

import shlex
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from tasks.backup.generations import MARK, Backup, read_mark
from tasks.backup.layout import BEGUN, KEY, STAGING, USER
from tasks.registry import address, storage
from tasks.registry.address import Addresses
from tasks.registry.desired import FOLDER, STORAGE_RECORD
from tasks.registry.storage import Place, Record
from tasks.remote.fact_scripts import Answer, fail_host_on_bad_output, read_answer, script

LOOK = f"""
look_at_programs() {{
    for each; do command -v "$each" >/dev/null || echo "missing|$each"; done
}}
# look_at_backups FOLDER: report what is a backup in it, and whether anything says that it is for backups
look_at_backups() {{
    existing_part "$1"
    echo "device|$(stat -c %d -- "$place")"
    [ ! -e "$1/{BEGUN}" ] || echo 'begun|yes'
    for mark in "$1"/*/{MARK}; do
        [ ! -f "$mark" ] || echo "backup|$(basename "${{mark%/*}}")|$(head -c 1000 -- "$mark" | base64 -w 0)"
    done
}}
"""


@dataclass(frozen=True)
class Shelf:
    """A folder that keeps backups. `device` is the number of its file system; `begun` is whether it had one ever."""

    device: int
    begun: bool
    backups: tuple[Backup, ...] = ()

    @property
    def latest(self) -> Backup | None:
        """The last of the backups."""
        return max(self.backups, key=lambda each: each.name, default=None)


@dataclass(frozen=True)
class SourceHost:
    """The registry host. `missing` are programs that it lacks, `key` the public key of ours for backups.

    `device` is the number of the images' file system, `free` its free bytes, `brought` the bytes of blobs that a
    restore which was killed brought there already. `place` what is at their folder, `record` where they were.
    `owner` is who owns that folder (`uid:gid`), `shelf` the folder there that keeps backups, `program` whether the one
    for backups is there, `running` whether a registry is.
    """

    missing: frozenset[str]
    deployed: bool
    key: str | None
    device: int
    free: int
    brought: int
    place: Place
    record: Record | None
    owner: str | None
    shelf: Shelf | None
    program: bool
    running: bool


@dataclass(frozen=True)
class BackupHost:
    """A host that keeps backups. `keys` are its SSH host keys, `ports` where its SSH server listens."""

    missing: frozenset[str]
    has_user: bool
    authorized: str
    keys: tuple[str, ...]
    ports: tuple[int, ...]
    addresses: Addresses = field(repr=False)
    shelf: Shelf


@fail_host_on_bad_output
class SourceFact(FactBase[SourceHost | None]):
    """The registry host."""

    def command(self, path: str, folder: str | None, program: str | None, programs: Sequence[str]) -> str:
        """Return the script: the images' path, the folder and the program for backups, and what programs are needed."""
        record = f"{FOLDER}/{STORAGE_RECORD}"
        return script(
            storage.look(record, [path]),
            LOOK,
            f"""
look_at_programs {shlex.join(programs)}
[ ! -d {FOLDER} ] || echo 'deployed|yes'
[ ! -f {KEY}.pub ] || echo "key|$(base64 -w 0 < {KEY}.pub)"
existing_part {path}
echo "images-device|$(stat -c %d -- "$place")"
echo "free|$(df -B 1 --output=avail -- "$place" | tail -n 1 | tr -d ' ')"
echo "brought|$(find {path}/{STAGING} -name data -type f -printf '%s\n' 2>/dev/null |
    awk '{{ sum += $1 }} END {{ printf "%.0f", sum }}')"
[ ! -d {path} ] || echo "owner|$(stat -c %u:%g -- {path})"
! pgrep -x registry >/dev/null || echo 'running|yes'
""",
            f"look_at_backups {shlex.quote(folder)}" if folder else "",
            f"[ ! -x {shlex.quote(program)} ] || echo 'program|yes'" if program else "",
        )

    def process(self, output: list[str]) -> SourceHost:
        """Read the answer; `FactProcessError` if it is not complete."""
        answer = read_answer(output)
        record = storage.read_record(_text(answer.one("record")))
        places = storage.read_places(answer)
        return SourceHost(
            missing=_missing(answer),
            deployed=answer.one("deployed") is not None,
            key=_text(answer.one("key")).strip() or None,
            device=int(answer.one("images-device") or ""),
            free=int(answer.one("free") or ""),
            brought=int(answer.one("brought") or ""),
            place=next(iter(places.values())),
            record=record,
            owner=answer.one("owner"),
            shelf=_shelf(answer) if answer.one("device") else None,
            program=answer.one("program") is not None,
            running=answer.one("running") is not None,
        )


@fail_host_on_bad_output
class BackupHostFact(FactBase[BackupHost | None]):
    """A host in `backup_hosts`."""

    def command(self, folder: str, programs: Sequence[str]) -> str:
        """Return the script: the folder for backups, and what programs are needed."""
        return script(
            storage.LOOK,
            LOOK,
            address.LOOK,
            f"""
look_at_programs {shlex.join(programs)}
look_at_backups {shlex.quote(folder)}
if home=$(getent passwd {USER} | cut -d : -f 6) && [ -n "$home" ]; then
    echo 'user|yes'
    [ ! -f "$home/.ssh/authorized_keys" ] || echo "authorized|$(base64 -w 0 < "$home/.ssh/authorized_keys")"
fi
cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | sed -n 's/^\\([a-z0-9-]* [A-Za-z0-9+/=]*\\).*/hostkey|\\1/p'
"$(command -v sshd || echo false)" -T 2>/dev/null | sed -n 's/^port /port|/p'
""",
        )

    def process(self, output: list[str]) -> BackupHost:
        """Read the answer; `FactProcessError` if it is not complete."""
        answer = read_answer(output)
        return BackupHost(
            missing=_missing(answer),
            has_user=answer.one("user") is not None,
            authorized=_text(answer.one("authorized")),
            keys=tuple(key for (key,) in answer.all("hostkey")),
            ports=tuple(int(port) for (port,) in answer.all("port")),
            addresses=address.read_addresses(answer),
            shelf=_shelf(answer),
        )


def _missing(answer: Answer) -> frozenset[str]:
    return frozenset(name for (name,) in answer.all("missing"))


def _shelf(answer: Answer) -> Shelf:
    read = ((name, read_mark(_text(text))) for name, text in answer.all("backup"))
    backups = tuple(backup for name, backup in read if backup and backup.name == name)
    return Shelf(int(answer.one("device") or ""), answer.one("begun") is not None, backups)


def _text(encoded: str | None) -> str:
    return b64decode(encoded or "").decode(errors="replace")
