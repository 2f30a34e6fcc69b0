"""Links that were left empty: what each has to say is known from its own path, or from what its tag had last.

2.8 empties a link and then writes it again (distribution 2.8.2, registry/storage/driver/filesystem/driver.go,
PutContent): of a tag that is pushed again, of a manifest that gets one more tag, of a layer that two clients push.
Killed in between, it leaves what is stored without a way to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.backup import restore_scripts
from tasks.backup.scripts import ONE_AT_A_TIME
from tasks.storage import trash
from tasks.storage.facts import IMAGES
from tasks.storage.stored import Repository, Stored, Tag

NEW = f"{trash.FOLDER}/link"
"""Where a link is written before one rename puts it in, in the images' folder."""

# A link that is shorter than a digest and did not change for a while is not being written now.
WRITE = """
written=0
while read -r digest path; do
    link=$storage/$path
    [ "$(stat -c %s -- "$link" 2>/dev/null || echo "${#digest}")" -lt "${#digest}" ] || continue
    [ $(($(date +%s) - $(stat -c %Y -- "$link"))) -ge 10 ] || continue
    (umask 022 && mkdir -p -- "${new%/*}" && printf %s "$digest" > "$new")
    chown --reference="$link" -- "$new"
    mv -T -- "$new" "$link"
    written=$((written + 1))
done < "$list"
echo "$written"
"""


def torn(stored: Stored) -> dict[str, str]:
    """Return the digest that each incomplete link has to name, by its path in the registry's folder.

    A tag was being given what it had last, of all digests that it ever had (registry/storage/tagstore.go, Tag). If two
    came in one second, or the data is not there, only a push helps.
    """
    return {
        path: digest
        for repository in stored.repositories.values()
        for path, digest in _of(repository)
        if digest in stored.blobs
    }


def repairs(links: Mapping[str, str], tag: Tag, digest: str | None) -> bool:
    """Return whether `links` has that of a tag's `digest`, or the tag's own if `digest` is None."""
    if digest is None:
        return _current(tag) in links
    return any(path in links for path in _named_after(tag.repository, digest))


def write(storage: str, links: Mapping[str, str]) -> tuple[str, str]:
    """Return the script that writes links again and prints how many it wrote, and what it reads."""
    receive, lines = restore_scripts.listed(
        "".join(f"{each} {IMAGES}/{path}\n" for path, each in links.items())
    )
    return f"{receive}{ONE_AT_A_TIME}\nstorage={storage} new={storage}/{NEW}\n{WRITE}", lines


def _of(repository: Repository) -> Iterator[tuple[str, str]]:
    for digest in sorted(repository.half_written):
        manifest, layer = _named_after(repository.name, digest)
        if digest in repository.manifests:
            yield manifest, digest
        if digest in repository.layers:
            yield layer, digest
    for tag in repository.tags.values():
        last = sorted(tag.former, key=lambda each: tag.former[each])[-2:]
        if tag.digest is None and last and (len(last) < 2 or len({tag.former[each] for each in last}) == 2):
            yield _current(tag), last[-1]


def _named_after(repository: str, digest: str) -> tuple[str, str]:
    """Return the paths of a manifest's link and of a layer's (registry/storage/paths.go)."""
    folder, name = f"repositories/{repository}", digest.replace(":", "/")
    return f"{folder}/_manifests/revisions/{name}/link", f"{folder}/_layers/{name}/link"


def _current(tag: Tag) -> str:
    return f"repositories/{tag.repository}/_manifests/tags/{tag.name}/current/link"
