"""What the caches have, from nginx' own files: each begins with its key and the upstream's headers.

nginx takes a file that has gone for one that it never had (`ngx_http_file_cache_open`).
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pyinfra.api.facts import FactBase

from tasks.caches.images import FILE, Blob, Cached, CachedFile
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.remote.templates import fill
from tasks.run.context import ROOT

VERIFIED = ".verified"
"""The file whose time says until when the files of the caches were hashed."""

# What vanishes meanwhile nginx has removed, which grep complains of, and exits with 2.
LIST = """
[ -d @FOLDER@/images ] || { echo 'absent|yes'; exit 0; }
cd @FOLDER@ || exit 1
if [ -e @VERIFIED@ ]; then stat -c 'verified|%.9Y' @VERIFIED@; fi
find images tags -ignore_readdir_race -type f -printf 'file|%p|%s|%T@\\n' || exit 1
keys=$(grep -rsaHom1 '^KEY: .*' images tags | sed 's/^\\([^:]*\\):KEY: /key|\\1|/')
printf '%s\\n' "$keys"
printf '%s\\n' "$keys" | awk -F '|' '$2 ~ /^tags/ || $3 ~ / manifest / { print $2 }' |
    xargs -r grep -saHoE 'sha256:[0-9a-f]{64}' | sort -u | sed 's/^\\([^:]*\\):/mention|\\1|/'
"""

CONTENT = ROOT / "templates/cache/content.sh"
"""A function that the caches' own look has too (check.sh)."""

HASH = """
cd @FOLDER@ || exit 1
@CONTENT@
check() { # REGISTRY DIGEST FILE...: whole, damaged, or a part
    digest="$1|$2" all=0
    shift 2
    for file; do
        size=$(wc -c < "$file" 2>/dev/null) || { echo "part|$digest"; return; }
        all=$((all + size - $(begin_of "$file")))
    done
    range=$(head -c "$(begin_of "$1")" "$1" | grep -aoiEm1 '^Content-Range: bytes [0-9]+-[0-9]+/[0-9]+')
    case ${range#*bytes } in
        ('') ;;
        (0-*) [ "$all" -ge "${range##*/}" ] || { echo "part|$digest"; return; } ;;
        (*) echo "part|$digest"; return ;;
    esac
    sum=$(for file; do tail -c "+$(($(begin_of "$file") + 1))" "$file"; done | sha256sum)
    if [ "sha256:${sum%% *}" = "${digest#*|}" ]; then echo "whole|$digest"; else echo "damaged|$digest"; fi
}
"""


@fail_host_on_bad_output
class CachedFact(FactBase[Cached | None]):
    """What the caches have; `deployed` is false if there are none."""

    def command(self, folder: str) -> str:
        """Return the script; `folder` is that of the caches."""
        return script(f"(\n{fill(LIST, FOLDER=shlex.quote(folder), VERIFIED=VERIFIED)})")

    def process(self, output: list[str]) -> Cached:
        """Parse the output; `FactProcessError` if it is incomplete."""
        answer = read_answer(output)
        mentions = defaultdict(set)
        for path, digest in answer.all("mention"):
            mentions[path].add(digest)
        keys = {path: "|".join(key) for path, *key in answer.all("key")}
        files = [
            CachedFile(path, int(size), float(modified), keys[path], frozenset(mentions[path]))
            for path, size, modified in answer.all("file")
            if FILE.fullmatch(path) and path in keys
        ]
        return Cached(tuple(files), float(answer.one("verified") or 0), deployed=answer.one("absent") is None)


@fail_host_on_bad_output
class CachedHashFact(FactBase[Mapping[tuple[str, str], str] | None]):
    """Whether cached blobs are what their digests say: `whole`, `damaged`, or `part` if pieces are missing.

    They are named by the registry that they came from, and their digest.
    """

    def command(self, folder: str, blobs: Sequence[Blob]) -> str:
        """Return the script; `folder` is that of the caches."""
        checks = (
            shlex.join(["check", each.registry, each.digest, *(piece.path for piece in each.pieces)])
            for each in blobs
        )
        functions = fill(HASH, FOLDER=shlex.quote(folder), CONTENT=CONTENT.read_text())
        return script(f"(\n{functions}{chr(10).join(checks)}\n)")

    def process(self, output: list[str]) -> dict[tuple[str, str], str]:
        """Parse the output; `FactProcessError` if it is incomplete."""
        answer = read_answer(output)
        kinds = ("whole", "damaged", "part")
        return {(registry, digest): kind for kind in kinds for registry, digest in answer.all(kind)}
