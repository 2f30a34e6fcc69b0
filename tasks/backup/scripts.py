"""The shell scripts that carry out backups."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tasks.backup.generations import MARK, Backup
from tasks.backup.layout import ARRIVED, BEGUN, HOME, KEY, KEYS, KNOWN_HOSTS, LOCK, PARTIAL, STATE, USER
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

TRY = """
export LC_ALL=C
errors=$(mktemp) && trap 'rm -f "$errors"' EXIT
( set -e
@SCRIPT@
) 2> "$errors"
if [ $? -ne 0 ]; then
    said=$(grep -vE '^$|^[ @]|^Traceback|^rsync error|unexpectedly closed|Broken pipe' "$errors" | head -n 1)
    echo "failed: ${said:-$(grep . "$errors" | tail -n 1)}"
fi
"""
"""Carries out a script for one target. If it fails, it prints the cause, and others get their backup all the same."""

RSYNC = "rsync -rt --delete --stats --timeout=600"
"""Owners and modes are those of the user who restores: a folder for backups may not be able to keep them."""

SENT = "sed -n 's/^Total bytes sent: //p' | tr -d ,"


def install(programs: Iterable[str]) -> str:
    """Return the script that installs the packages of missing programs."""
    return INSTALL.replace(
        "@PACKAGES@", " ".join(sorted({name for each in programs for name in PACKAGES[each].split()}))
    )


def ssh(port: int) -> str:
    """Return the ssh command with our key alone, for hosts whose keys are known."""
    options = ("BatchMode=yes", "ConnectTimeout=20", "ForwardAgent=no", "GlobalKnownHostsFile=/dev/null",
               "IdentitiesOnly=yes", "LogLevel=ERROR", "ServerAliveInterval=30", "StrictHostKeyChecking=yes",
               f"UserKnownHostsFile={KNOWN_HOSTS}")  # fmt: skip
    return f"ssh -F /dev/null -i {KEY} -p {port} {' '.join(f'-o {option}' for option in options)}"


def login(address: str) -> str:
    """Return user and address as rsync reads them."""
    return f"{USER}@{f'[{address}]' if ':' in address else address}"


def attempt(script: str) -> str:
    """Return the script that carries out another, and prints `failed: ` with the cause if that fails."""
    return TRY.replace("@SCRIPT@", script)


def begin(folder: str, last: str | None, surplus: Iterable[str], key: str | None) -> str:
    """Return the script that begins a backup in a folder with links to what is in the `last` one.

    With the public `key` of the registry host, the folder is another host's: only `USER` may write, and only to the
    backup that is not complete. A file that is also in an older backup is root's, and stays as it is there: `USER` can
    only put another in its place. Links of tags are left out: rsync takes two files of one size and second for the
    same, as those of a tag that moved may be. The script prints whether the file system has links and owners, how many
    bytes are free, and how many bytes of blobs are there already.
    """
    link = f"[ $links = no ] || cp -al -- {last}/. {PARTIAL}.new/" if last else ""
    removed = "".join(f"mv -T -- {name} {name}.removed\n" for name in surplus)
    owners, own = "owners=yes", ""
    if key is not None:
        own = f'chown "root:$(id -g {USER})" . && chmod 0750 .\nfind {PARTIAL} -type d -exec chown {USER}: {{}} +'
        owners = f"""[ "$(cat {KEY}.pub 2>/dev/null)" != {shlex.quote(key)} ] || {{
    echo "this is the registry host under another name, and a backup here is lost with it" >&2
    exit 1
}}
owners=no
if chown {USER} -- "$probe" 2>/dev/null && [ "$(stat -c %U -- "$probe")" = {USER} ]; then owners=yes; fi"""
    return f"""umask 077
mkdir -p {folder}
cd {folder}
probe=$(mktemp .homelab-registry-probe.XXXXXX)
trap 'rm -f -- "$probe" "$probe.link"' EXIT
links=yes
ln -- "$probe" "$probe.link" 2>/dev/null || links=no
{owners}
if [ $owners = yes ]; then
{removed}rm -rf -- 20*.removed {PARTIAL}.new
for arrived in 20*{ARRIVED}; do
    [ ! -d "$arrived" ] || [ -e {PARTIAL} ] || mv -T -- "$arrived" {PARTIAL}
done
rm -rf -- 20*{ARRIVED}
if [ ! -d {PARTIAL} ]; then
    mkdir {PARTIAL}.new
    {link}
    mv -T -- {PARTIAL}.new {PARTIAL}
fi
rm -f -- {PARTIAL}/{MARK} {PARTIAL}/{STATE}
find {PARTIAL} -path '*/_manifests/tags/*/current/link' -delete
{own}
fi
echo "system|$(stat -f -c %T .)|$links|$owners"
echo "free|$(df -B 1 --output=avail . | tail -n 1 | tr -d ' ')"
echo "there|$(find {PARTIAL} -name data -type f -printf '%s\n' 2>/dev/null |
    awk '{{ sum += $1 }} END {{ printf "%.0f", sum }}')"
"""


def send(snapshot: str, address: str, port: int) -> str:
    """Return the script that sends the snapshot to a host, to the backup that was begun there."""
    command = f"{RSYNC} -e {shlex.quote(ssh(port))} {snapshot}/ {login(address)}:/"
    return ONE_AT_A_TIME + attempt(f'printed=$({command})\nprintf "%s\\n" "$printed" | {SENT}')


def copy(snapshot: str, folder: str) -> str:
    """Return the script that copies the snapshot to the backup that was begun in a folder of the registry host."""
    command = f"{RSYNC} {snapshot}/ {folder}/{PARTIAL}/"
    return ONE_AT_A_TIME + attempt(f'printed=$({command})\nprintf "%s\\n" "$printed" | {SENT}')


def arrive(folder: str, name: str, *, own: bool) -> str:
    """Return the script that takes what came out of the sender's hands, before it is looked at.

    `own` is whether the folder is the registry host's own, where nobody but root writes.
    """
    arrived = f"{name}{ARRIVED}"
    lock = f"""chown -R "root:$(id -g {USER})" {arrived}
chmod -R u=rwX,g=rX,o= {arrived}
[ -z "$(find {arrived} -user {USER} -print -quit)" ] || {{
    echo "something still writes to {folder}/{arrived} (ps -u {USER} shows what)" >&2
    exit 1
}}
find {arrived} ! -type f ! -type d -delete
"""
    return f"""set -e
umask 077
cd {folder}
rm -rf -- {arrived}
mv -T -- {PARTIAL} {arrived}
{"" if own else lock}"""


def run_program(program: str, snapshot: str) -> str:
    """Return the script that has the user's program back up the snapshot."""
    return f"""{ONE_AT_A_TIME}
errors=$(mktemp) && trap 'rm -f "$errors"' EXIT
if {program} {snapshot} < /dev/null > "$errors" 2>&1 9>&-; then echo 0
else echo "failed: $(grep . "$errors" | tail -n 1)"; fi
"""


def seal(folder: str, backup: Backup, surplus: Iterable[str]) -> str:
    """Return the script that makes a backup of what came and was looked at, then removes those that are too many.

    A backup that is removed loses its name first: killed half-way, the rest of it is none.
    """
    removed = "".join(f"mv -T -- {name} {name}.removed\n" for name in surplus)
    return f"""set -e
umask 077
cd {folder}
new={backup.name}{ARRIVED}/{MARK}
rm -f -- "$new"
{files.receive(backup.text)} || exit 1
sync -f .
mv -T -- {backup.name}{ARRIVED} {backup.name}
: > {BEGUN}
sync -f .
{removed}rm -rf -- 20*.removed
"""


def add_state(snapshot: str, encoded: str) -> str:
    """Return the script that puts the encrypted state, sent in Base64, into the snapshot."""
    return f"""set -e
umask 077
new={snapshot}/{STATE}.new
{files.receive(encoded)} || exit 1
base64 -d < "$new" > {snapshot}/{STATE}
rm -f "$new"
"""
