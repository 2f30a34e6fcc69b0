"""Hash what is stored, on its host: which blobs have data that is not what their digest says.

All of it takes as long as the disk takes to read it, so it is done in parts, each one round trip, and a caller can say
how far it is. Other programs' reads go first (nice, and ionice where there is one), so that pulls go on.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.storage.facts import IMAGES
from tasks.storage.manifests import DIGEST
from tasks.storage.stored import Stored

MANIFEST_SIZE = 4 * 2**20
"""Bytes that a manifest has at most (distribution, registry/handlers/manifests.go, maxManifestBodySize)."""

PART = 2_000_000_000
"""Bytes of a part, unless one blob has more: ten seconds of a hard disk."""

GENTLY = """
gently() {
    if command -v ionice >/dev/null; then ionice -c 3 nice -n 19 "$@"; else nice -n 19 "$@"; fi
}
"""

# A blob is there by one rename, or, a manifest of 2.8, written in place within milliseconds: see `HashFact`. What
# vanishes meanwhile was deleted. Whatever else is said was not asked about a blob, and leaves blobs unread.
COMPARE = """
compare() {
    algorithm=$1
    shift
    [ -d "blobs/$algorithm" ] || return 0
    {
        cd "blobs/$algorithm" && gently find -L "$@" -name data -type f $size -exec "${algorithm}sum" -- {} + 2>&1
        echo "status $?"
    } | awk -v algorithm="$algorithm" '
        /^status [01]$/ { whole = 1; next }
        /No such file or directory$/ { next }
        match($0, /^[0-9a-f]+  /) && split(substr($0, RLENGTH + 1), path, "/") == 3 {
            if ($1 != path[2]) print "damaged|" algorithm ":" path[2]
            next
        }
        match($0, /[0-9a-f]+\\/data: /) {
            print "unread|" algorithm ":" substr($0, RSTART, RLENGTH - 7) "|" substr($0, RSTART + RLENGTH)
            next
        }
        { print > "/dev/stderr"; failed = 1 }
        END { exit failed || !whole }
    '
}
"""


@dataclass(frozen=True)
class Part:
    """What is hashed in one round trip: the blobs whose digests begin with one of the `prefixes`, and their `bytes`."""

    prefixes: tuple[str, ...]
    bytes: int


def parts(stored: Stored, most: int | None = None) -> list[Part]:
    """Return all of what is stored, in parts; with `most`, blobs of at most so many bytes."""
    sizes: Counter[str] = Counter()
    for digest, blob in stored.blobs.items():
        if most is None or blob.size <= most:
            sizes[digest.partition(":")[2][:2]] += blob.size
    found: list[Part] = []
    for prefix, size in sorted(sizes.items()):
        if found and found[-1].bytes + size <= PART:
            found[-1] = Part((*found[-1].prefixes, prefix), found[-1].bytes + size)
        else:
            found.append(Part((prefix,), size))
    return found


def hash_in_parts(
    stored: Stored, most: int | None, ask: Callable[[Part, int, int], Mapping[str, str]]
) -> Mapping[str, str]:
    """Return the damaged blobs, as `HashFact` does. `ask` gets a part, and how many bytes were hashed, of how many."""
    todo = parts(stored, most)
    total, done = sum(each.bytes for each in todo), 0
    found: dict[str, str] = {}
    for part in todo:
        found |= ask(part, done, total)
        done += part.bytes
    if not found:
        return found
    # One that was just being written is whole by now.
    again = ask(Part(tuple(sorted({each.partition(":")[2][:2] for each in found})), 0), total, total)
    return {digest: why for digest, why in again.items() if digest in found}


@fail_host_on_bad_output
class HashFact(FactBase[Mapping[str, str] | None]):
    """The damaged blobs of a part, by digest, with what is wrong. One that was just being written may be among them."""

    def command(self, folder: str, prefixes: Sequence[str], most: int | None = None) -> str:
        """Return the script: the images' folder, and which of its blobs to hash."""
        size = "" if most is None else f"-size -{most + 1}c"
        return script(
            f"size={shlex.quote(size)}\ncd -- {shlex.quote(f'{folder}/{IMAGES}')} || exit 1",
            GENTLY,
            COMPARE,
            *(f"(compare {each} {shlex.join(prefixes)}) || exit 1" for each in ("sha256", "sha512")),
        )

    def process(self, output: list[str]) -> Mapping[str, str]:
        """Read the answer; `FactProcessError` if it is not whole."""
        answer = read_answer(output)
        found = {digest: "is damaged" for (digest,) in answer.all("damaged")}
        found |= {digest: f"cannot be read ({'|'.join(why)})" for digest, *why in answer.all("unread")}
        if not all(map(DIGEST.fullmatch, found)):
            raise ValueError("a blob's path has no digest")
        return found
