"""What the registry stores, read from its folder in one round trip by a script that needs only Debian's base tools.

What points is read before what it points at: tags, then the links to manifests, the manifests themselves, the links to
layers, and blobs last. Pushes go the other way (distribution, registry/handlers/manifests.go: blobs, links, manifest,
tag), so that **whatever a tag of an answer needs is in the answer too**, unless it was deleted in the meantime. So

- a tag that misses something may be one that somebody was deleting: read again before you say that it is broken;
- of a manifest that no tag of the answer leads to, nothing is promised: it may be the first half of a push. It, or a
  link to what it needs, is then no older than a push takes;
- a link may be renewed, and a tag be moved, after it was read. What is to be deleted is looked at again.

What vanishes while it is read was deleted, and is absent. What cannot be read is not: see `Stored.problems`. An answer
that was cut off fails the fact.
"""

from __future__ import annotations

import shlex

from pyinfra.api.facts import FactBase

from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.storage.answer import ABSENT, END, PROBLEM, WHOLE, read_stored
from tasks.storage.stored import Stored

IMAGES = "docker/registry/v2"
"""Where the registry keeps its images in their folder (distribution, registry/storage/paths.go)."""

# A name in a repository's path never begins with `_`, so the first one that does ends the repository; but a tag may be
# named `_layers` (distribution/reference, regexp.go). Symbolic links are followed, as the registry does. Of a tag first
# the content is read and then the time: a tag that moves in between seems younger than it is, never older.
# A revision's folder is enough for its data to be read: the registry leaves it when it removes the link.
READ = f"""
pack() {{ gzip -1 | base64 -w 16384 | sed "s/^/$1|/"; }}
finish() {{
    case $1 in (0|1|123) echo '{END}' ;; esac
}}
of_repository() {{ find -L repositories \\( -name _layers -o -name _uploads \\) ! -path '*/_manifests/*' -prune "$@"; }}
read_all() {{
    {{
        date '+now %s'
        of_repository -o -path '*/_manifests/revisions' -prune \\
            -o -regex '.*/_manifests/tags/[^/]+' -type d -printf 'tag %p\\n' \\
            -o -path '*/_manifests/tags/*/current/link' -type f \\
                -exec sh -c 'grep -aH "" -- "$@"; stat -L -c "pushed %Y %s %n" -- "$@"' sh {{}} + \\
            -o -path '*/_manifests/tags/*/index/*/link' -type f -printf 'former %T@ %s %p\\n'
        finish $?
    }} | pack tags
    revisions=$(
        of_repository -o -path '*/_manifests/tags' -prune -o -name link -type f -printf 'link %T@ %s %p\\n' \\
            -o -regex '.*/_manifests/revisions/[a-z0-9]+/[0-9a-f]+' -type d -printf 'folder %p\\n'
        finish $?
    )
    printf '%s\\n' "$revisions" | pack revisions
    {{
        printf '%s\\n' "$revisions" | awk -F/ '
            /^folder / && !seen[$NF]++ {{ printf "blobs/%s/%s/%s/data\\n", $(NF - 1), substr($NF, 1, 2), $NF }}
        ' | xargs -r tail -v -c +1
        finish $?
    }} | pack manifests
    {{
        find -L repositories -name _manifests -type d -printf 'folder %p\\n' -prune \\
            -o -name _layers -type d -printf 'folder %p\\n' \\
            -o -path '*/_uploads/*' -type f -printf 'upload %T@ %s %p\\n' \\
            -o -name link -type f -printf 'link %T@ %s %p\\n' ! -path '*/_layers/sha256/*' -exec grep -aH '' {{}} +
        finish $?
    }} | pack layers
    {{
        find -L blobs -type f -printf 'blob %T@ %s %p\\n'
        finish $?
    }} | pack blobs
    # The registry makes a folder in here before the first blob. Without it every blob would seem to be unused.
    [ -d repositories ] || [ ! -d blobs ] || echo "$PWD/repositories is missing" >&2
}}
if error=$(stat -L -- "$root" 2>&1 >/dev/null); then
    cd -- "$root" || exit 1
    exec 3>&1
    read_all 2>&1 >&3 | awk '
        !/No such file or directory$/ && count++ < 50 {{ said = said "{PROBLEM}|" $0 "\\n" }}
        END {{ printf "%s{WHOLE}|\\n", said }}
    '
else
    case $error in
        (*'No such file or directory') echo '{ABSENT}|' ;;
        (*) printf '%s\\n' "$error" >&2; exit 1 ;;
    esac
fi
"""


@fail_host_on_bad_output
class StorageFact(FactBase[Stored | None]):
    """One round trip. With 20,000 blobs and 5,000 tags it reads 15 MB and sends 5."""

    def command(self, folder: str) -> str:
        """Return the script that reads the images' `folder`, or a copy of it such as a backup."""
        return script(f"root={shlex.quote(f'{folder}/{IMAGES}')}", READ)

    def process(self, output: list[str]) -> Stored:
        """Read the answer; `FactProcessError` if it is not whole."""
        return read_stored(read_answer(output))
