"""The shell scripts that carry out repairs. Each reads digests on standard input: `algorithm sum path`, one a line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from tasks.backup import restore_scripts
from tasks.backup.scripts import ONE_AT_A_TIME, login, ssh
from tasks.repair.copies import blob_lines
from tasks.repair.damage import Copy
from tasks.storage import trash
from tasks.storage.facts import IMAGES
from tasks.storage.stored import blob_path

DAMAGED = f"{trash.FOLDER}/damaged"
"""Where damaged data is moved to, named by its digest, in the images' folder."""

INCOMING = f"{trash.FOLDER}/incoming"
"""Where blobs of backups are until each was compared with its digest: a folder for each backup, as it is in there."""

# What is whole by now, because somebody pushed it meanwhile, stays. What came is there by one rename.
PUT_RIGHT = """
has() { [ "$("${algorithm}sum" < "$1" 2>/dev/null)" = "$sum  -" ]; }
while read -r algorithm sum path; do
    place=$storage/$path
    if [ -f "$place" ]; then
        if has "$place"; then echo "whole|$algorithm:$sum"; continue; fi
        (umask 022 && mkdir -p -- "$damaged")
        mv -T -- "$place" "$damaged/$sum"
        echo "moved|$algorithm:$sum"
    fi
    for come in "$incoming"/*/"$path"; do
        if [ -f "$come" ] && has "$come"; then
            mkdir -p -- "${place%/*}"
            chown "$owner" -- "${place%/*}/.." "${place%/*}" "$come"
            chmod 0644 -- "$come"
            mv -nT -- "$come" "$place"
            echo "placed|$algorithm:$sum"
            break
        fi
    done
done < "$list"
rm -rf -- "$incoming"
echo end
"""


def fetch(storage: str, copies: Mapping[str, Copy], address: str, port: int) -> tuple[str, str]:
    """Return the script that brings blobs of a host's backups, and what it reads."""
    return _bring(storage, f"-e {shlex.quote(ssh(port))} {login(address)}:/", _paths(copies))


def copy(storage: str, folder: str, copies: Mapping[str, Copy]) -> tuple[str, str]:
    """Return the script that brings blobs of the backups in a folder of the registry host, and what it reads."""
    return _bring(storage, f"{folder}/", _paths(copies))


def _bring(storage: str, source: str, lines: str) -> tuple[str, str]:
    receive, lines = restore_scripts.listed(lines)
    return (
        f"""{receive}{ONE_AT_A_TIME}
(umask 022 && mkdir -p {storage}/{INCOMING})
rsync -rt --timeout=600 --files-from="$list" {source} {storage}/{INCOMING}/
""",
        lines,
    )


def _paths(copies: Mapping[str, Copy]) -> str:
    return "".join(f"{copy.name}/{IMAGES}/{blob_path(digest)}\n" for digest, copy in copies.items())


def put_right(storage: str, owner: str, digests: Iterable[str]) -> tuple[str, str]:
    """Return the script that moves damaged data away and puts in what came of backups, and what it reads.

    It prints `moved`, `whole` and `placed` with digests, then `end`.
    """
    receive, lines = restore_scripts.listed(blob_lines(digests))
    names = f"storage={storage} damaged={storage}/{DAMAGED} incoming={storage}/{INCOMING} owner={owner}"
    return f"{receive}{ONE_AT_A_TIME}\n{names}\n{PUT_RIGHT}", lines
