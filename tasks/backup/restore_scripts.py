"""The shell scripts that put images back, each with the list that it reads on standard input."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

from tasks.backup.generations import MARK
from tasks.backup.layout import STAGING, STATE
from tasks.backup.scripts import ONE_AT_A_TIME, login, ssh
from tasks.backup.selection import sums
from tasks.registry.storage import MARK as STORAGE_MARK
from tasks.storage.facts import IMAGES
from tasks.storage.stored import blob_path

LIST = """set -e
export LC_ALL=C
list=$(mktemp) && trap 'rm -f "$list"' EXIT
head -c @LENGTH@ > "$list" && cat > /dev/null
[ "$(wc -c < "$list")" -eq @LENGTH@ ] || { echo "the list was cut short" >&2; exit 1; }
"""
"""Receives a list on standard input as the file `$list`; input ends without an error if the sender dies half-way."""


def listed(lines: str) -> tuple[str, str]:
    """Return the script that receives a list, and the list."""
    return LIST.replace("@LENGTH@", str(len(lines.encode()))), lines


def fetch(
    path: str, owner: str, address: str, port: int, blobs: Collection[str] | None, damaged: Iterable[str]
) -> tuple[str, str]:
    """Return the script that brings a backup from a host to a folder beside the images, and what it reads.

    Blobs that the registry has are not sent, but linked, except for those that are `damaged` there. `blobs` are the
    digests that are needed, None for all.
    """
    staging, rsync = f"{path}/{STAGING}", f"rsync -rt --delete --timeout=600 -e {shlex.quote(ssh(port))}"
    rules = "" if blobs is None else "".join(f"+ /{_folder(digest)}/***\n" for digest in blobs) + "- /*/*/*\n"
    receive, lines = listed(rules)
    bring = f'{rsync} --include-from="$list" {login(address)}:/{IMAGES}/blobs/ {staging}/{IMAGES}/blobs/'
    again = "".join(f"rm -f -- {staging}/{IMAGES}/{blob_path(each)}\n" for each in damaged)
    return (
        f"""{receive}{ONE_AT_A_TIME}
mkdir -p {staging}/{IMAGES}/blobs
{rsync} --exclude=/{IMAGES}/blobs --exclude=/{MARK} --exclude=/{STATE} {login(address)}:/ {staging}/
{bring} --link-dest={path}/{IMAGES}/blobs/
{again and again + bring}
chown -R {owner} {staging}/docker
""",
        lines,
    )


def check(folder: str, blobs: Sequence[str]) -> tuple[str, str]:
    """Return the script that prints the digests of blobs whose data is something else, then `end`."""
    receive, lines = listed("".join(sums(blobs, each) for each in ("sha256", "sha512")))
    return (
        f"""{receive}
cd {folder}/{IMAGES}
for algorithm in sha256 sha512; do
    length=${{algorithm#sha}}
    grep -E "^[0-9a-f]{{$((length / 4))}}  " "$list" | ${{algorithm}}sum -c --quiet 2>/dev/null |
        sed -n "s|^blobs/$algorithm/../\\([0-9a-f]*\\)/data: .*|$algorithm:\\1|p"
done
echo end
""",
        lines,
    )


def put(
    folder: str, path: str, owner: str, paths: Sequence[str], *options: str, own: bool
) -> tuple[str, str]:
    """Return the script that puts files of a backup in `folder` into the images' folder `path`, and their list.

    Each is there by one rename. A folder without a mark, or with the empty one by which a person takes it for the
    images, gets that of the backup: the next backup knows by it that it is of the same registry. If the folder is our
    `own`, on the same disk, files are linked and not copied.
    """
    receive, lines = listed("".join(f"{each}\n" for each in paths))
    copied = {"--update", "--ignore-times"} & {*options}
    link = f"--link-dest={folder}/{IMAGES}/ " if own and not copied else ""
    return (
        f"""{receive}{ONE_AT_A_TIME}
[ -d {path}/{IMAGES} ] || {{
    mkdir -p {path}/{IMAGES}
    chown {owner} {path} {path}/docker {path}/docker/registry {path}/{IMAGES}
    chmod 0700 {path}
}}
grep -qs . {path}/{STORAGE_MARK} || [ ! -e {folder}/{STORAGE_MARK} ] || {{
    cp {folder}/{STORAGE_MARK} {path}/{STORAGE_MARK}.new
    chown {owner} {path}/{STORAGE_MARK}.new
    mv {path}/{STORAGE_MARK}.new {path}/{STORAGE_MARK}
}}
rsync -rtogO --chown={owner} --files-from="$list" {" ".join(options)} {link}\\
    {folder}/{IMAGES}/ {path}/{IMAGES}/
""",
        lines,
    )


def _folder(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}/{value[:2]}/{value}"
