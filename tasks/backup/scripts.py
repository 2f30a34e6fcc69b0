"""The shell scripts that carry out backups."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tasks.backup.generations import MARK, Backup
from tasks.backup.layout import BEGUN, HOME, KEY, KEYS, KNOWN_HOSTS, LOCK, PARTIAL, STATE, USER
from tasks.remote import files

PACKAGES = {"rsync": "rsync", "ssh": "openssh-client", "rrsync": "rsync python3", "flock": "util-linux"}
"""The package of each program. Debian's rrsync is a script of Python, which rsync only suggests."""

MAKE_KEYS_FOLDER = f"mkdir -p -m 0700 {KEYS}\n"

INSTALL = """
export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 PATH="$PATH:/usr/sbin:/sbin"
apt() { apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"; }
updated=$(apt update 2>&1)
complaint=$(apt -y --no-remove --no-install-recommends install @PACKAGES@ 2>&1 >/dev/null) || {
    echo "$updated" | grep -m 1 'Failed to fetch' >&2 || echo "$complaint" >&2
    exit 1
}
"""

MAKE_KEY = f"""
umask 077
mkdir -p {KEYS} && rm -f {KEY} {KEY}.pub &&
ssh-keygen -q -t ed25519 -N '' -C homelab-registry-backup -f {KEY}.new && mv -f {KEY}.new.pub {KEY}.pub &&
mv -f {KEY}.new {KEY} && sync {KEYS} && cat {KEY}.pub
"""

MAKE_USER = f"""
export PATH="$PATH:/usr/sbin:/sbin"
useradd --system --home-dir {HOME} --no-create-home --shell /bin/sh --password '*' {USER}
"""
"""A forced command runs in the user's shell. Without PAM, sshd refuses users whose password is `!`."""

ONE_AT_A_TIME = f"""
umask 077
mkdir -p {KEYS}
exec 9> {LOCK}
flock -w 600 9 || {{ echo "a backup that was begun earlier is still under way (see ps)" >&2; exit 1; }}
"""

SENT = """
export LC_ALL=C
errors=$(mktemp) && trap 'rm -f "$errors"' EXIT
if printed=$(@RSYNC@ 2> "$errors"); then
    printf '%s\\n' "$printed" | sed -n 's/^Total bytes sent: //p' | tr -d ,
else
    echo "failed: $(grep -vE '^rsync error|^$' "$errors" | tail -n 1)"
fi
"""

RSYNC = "rsync -rlt --delete --stats --timeout=600"
"""Owners and modes are those of whoever restores: a folder for backups may not be able to keep them."""


def install(programs: Iterable[str]) -> str:
    """Return the script that installs the packages of missing programs."""
    return INSTALL.replace(
        "@PACKAGES@", " ".join(sorted({name for each in programs for name in PACKAGES[each].split()}))
    )


def ssh(port: int) -> str:
    """Return the ssh command with our key alone, for hosts whose keys are known."""
    options = ("BatchMode=yes", "ConnectTimeout=20", "ForwardAgent=no", "GlobalKnownHostsFile=/dev/null",
               "IdentitiesOnly=yes", "ServerAliveInterval=30", "StrictHostKeyChecking=yes",
               f"UserKnownHostsFile={KNOWN_HOSTS}")  # fmt: skip
    return f"ssh -F /dev/null -i {KEY} -p {port} {' '.join(f'-o {option}' for option in options)}"


def send(snapshot: str, address: str, port: int, last: str | None) -> str:
    """Return the script that sends the snapshot to a host; what is in its last backup is not sent again."""
    there = f"[{address}]" if ":" in address else address
    link = f"--link-dest=/{last}/ " if last else ""
    command = f"{RSYNC} -e {shlex.quote(ssh(port))} {link}{snapshot}/ {USER}@{there}:/{PARTIAL}/"
    return ONE_AT_A_TIME + SENT.replace("@RSYNC@", command)


def copy(snapshot: str, folder: str, last: str | None) -> str:
    """Return the script that copies the snapshot to a folder of the registry host."""
    link = f"--link-dest={folder}/{last}/ " if last else ""
    return f"{ONE_AT_A_TIME}mkdir -p {folder}\n" + SENT.replace(
        "@RSYNC@", f"{RSYNC} {link}{snapshot}/ {folder}/{PARTIAL}/"
    )


def run_program(program: str, snapshot: str) -> str:
    """Return the script that has the user's program back up the snapshot."""
    return f"""{ONE_AT_A_TIME}
errors=$(mktemp) && trap 'rm -f "$errors"' EXIT
if {program} {snapshot} < /dev/null > "$errors" 2>&1 9>&-; then echo 0
else echo "failed: $(grep . "$errors" | tail -n 1)"; fi
"""


def seal(folder: str, backup: Backup, surplus: Iterable[str]) -> str:
    """Return the script that makes a backup of a copy that was looked at, then removes those that are too many.

    A backup that is removed loses its name first: killed half-way, the rest of it is none.
    """
    removed = "".join(f"mv -T -- {name} {name}.removed\n" for name in surplus)
    return f"""set -e
umask 077
cd {folder}
new={PARTIAL}/{MARK}
{files.receive(backup.text)}
sync -f .
mv -T -- {PARTIAL} {backup.name}
: > {BEGUN}
sync -f .
{removed}rm -rf -- *.removed
"""


def add_state(snapshot: str, encoded: str) -> str:
    """Return the script that puts the encrypted state, sent in Base64, into the snapshot."""
    return f"""set -e
umask 077
new={snapshot}/{STATE}.new
{files.receive(encoded)}
base64 -d < "$new" > {snapshot}/{STATE}
rm -f "$new"
"""
