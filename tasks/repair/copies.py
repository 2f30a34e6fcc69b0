"""Where a damaged blob is whole: in which backups of a folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from pyinfra.api.facts import FactBase

from tasks.backup.generations import MARK
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.repair.damage import Copy
from tasks.settings.types import BACKUP_NAME
from tasks.storage.facts import IMAGES
from tasks.storage.hashing import GENTLY
from tasks.storage.stored import blob_path

MOST = 1000
"""How many blobs are asked for at once: an argument has at most 128 KB (Linux, MAX_ARG_STRLEN)."""

# Backups share a blob's data: each file is read once.
LOOK = f"""
look_for() {{
    while read -r algorithm sum path; do
        seen=' '
        for name in $names; do
            [ -f "$name/$path" ] || continue
            inode=$(stat -c %i -- "$name/$path")
            case $seen in (*" $inode "*) continue ;; esac
            seen="$seen$inode "
            [ "$(gently "${{algorithm}}sum" < "$name/$path")" = "$sum  -" ] || continue
            echo "copy|$algorithm:$sum|$name"
            break
        done
    done
}}
if cd -- "$folder" 2>/dev/null; then
    names=$(for mark in 2*/{MARK}; do [ ! -f "$mark" ] || echo "${{mark%/*}}"; done | sort -r)
    look_for <<END
$wanted
END
fi
"""


def blob_lines(digests: Iterable[str]) -> str:
    """Return the list of blobs that scripts read: `algorithm sum path`, one a line."""
    return "".join(f"{each.replace(':', ' ')} {IMAGES}/{blob_path(each)}\n" for each in digests)


def find(
    wanted: Sequence[str], folder: str, name: str | None, ask: Callable[[Sequence[str]], Mapping[str, str]]
) -> dict[str, Copy]:
    """Return which backups in a folder of a host have these blobs whole. `ask` reads a `CopiesFact` of some of them."""
    found: dict[str, Copy] = {}
    for begin in range(0, len(wanted), MOST):
        names = ask(wanted[begin : begin + MOST])
        found |= {digest: Copy(name, folder, backup) for digest, backup in names.items()}
    return found


@fail_host_on_bad_output
class CopiesFact(FactBase[Mapping[str, str] | None]):
    """By digest, the newest backup in a folder that has a blob whole. One that cannot be read is not whole."""

    def command(self, folder: str, digests: Sequence[str]) -> str:
        """Return the script: the folder with the backups, and the blobs' digests."""
        return script(
            f"folder={shlex.quote(folder)} wanted={shlex.quote(blob_lines(digests).rstrip())}",
            GENTLY,
            f"{{{LOOK}}} 2>/dev/null",
        )

    def process(self, output: list[str]) -> Mapping[str, str]:
        """Read the answer; `FactProcessError` if it is not whole."""
        found = dict(read_answer(output).all("copy"))
        if not all(re.fullmatch(BACKUP_NAME, name) for name in found.values()):
            raise ValueError("a backup has another name")
        return found
