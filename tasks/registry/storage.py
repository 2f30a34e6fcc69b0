"""The images' folder: whether the one at `registry_storage_path` is where the images are, or may become it.

A mark in the folder has an id. The registry host keeps that id and the path on its own disk, and the controller in its
state. Without its disk the folder has no mark, and is then not begun with again (moby#17485).
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.problem import some_of
from tasks.remote.fact_scripts import Answer
from tasks.remote.steps import Conflict
from tasks.storage.facts import IMAGES

MARK = ".homelab-registry"
"""The mark's name in the images' folder. A person who makes an empty one says that this folder is to be used."""

IGNORED = "|".join(
    (
        rf"^\.+{MARK[1:]}",
        r"^(lost\+found|aquota\.(user|group)|\.nfs[0-9a-f]+|\.zfs|\.snapshots?)$",
        r"^(\.DS_Store|Thumbs\.db|desktop\.ini|System Volume Information|[$]RECYCLE\.BIN|@eaDir|#recycle|#snapshot)$",
        r"^\.(_|Trash|Spotlight-V|fseventsd|TemporaryItems)",
    )
)
"""Names that say nothing of what a folder is for: ours, and what file systems, desktops and NAS leave in any folder."""

LOOK = f"""
# existing_part PATH: set $place to the folder or file that is there, or in which the path would be made
existing_part() {{
    place=$1
    while [ ! -e "$place" ]; do place=${{place%/*}}; place=${{place:-/}}; done
}}
look_at_storage() {{
    existing_part "$1"
    echo "mount|$1|$(findmnt -nro TARGET,SOURCE,FSTYPE,OPTIONS -T "$place" 2>/dev/null | tail -n 1)"
    if [ -L "$1" ]; then echo "link|$1|$(readlink -m -- "$1")"; fi
    [ -d "$1" ] || return 0
    if names=$(ls -Aq -- "$1" 2>/dev/null); then
        echo "folder|$1|$(printf %s "$names" | grep -vE '{IGNORED}' | head -n 5 | tr '\\n' '/')"
    else
        echo "closed|$1"
    fi
    if [ -f "$1/{MARK}" ]; then echo "mark|$1|$(head -c 200 -- "$1/{MARK}" | head -n 1)"; fi
    if [ -d "$1/{IMAGES}" ]; then echo "images|$1|$(ls -A -- "$1/{IMAGES}/repositories" 2>/dev/null | wc -l)"; fi
}}
"""
"""Shell functions that report what is at a path. They change nothing."""


@dataclass(frozen=True)
class Mount:
    """The mount that a folder is on, or would be made on: where it is, of what, and its type and options."""

    target: str
    source: str
    kind: str
    read_only: bool = False


@dataclass(frozen=True)
class Place:
    """What is at a path.

    `mount` is None if the host could not say. `link` is the target of a symbolic link. `exists` means a folder, which
    is `closed` if root may not list it; `entries` has up to five names in it that are not ours. `mark` is the first
    line of the mark. `repositories` is the number of repositories, None if the registry never wrote there.
    """

    mount: Mount | None = None
    link: str | None = None
    exists: bool = False
    closed: bool = False
    entries: tuple[str, ...] = ()
    mark: str | None = None
    repositories: int | None = None


@dataclass(frozen=True)
class Record:
    """Where the images were: the folder, the id in its mark, and the mount that it was on; None if not known."""

    path: str
    id: str | None = None
    mount: str | None = None

    @property
    def text(self) -> str:
        """The text that the registry host keeps."""
        return f"path={self.path}\nid={self.id or ''}\nmount={self.mount or ''}\n"


def read_record(text: str) -> Record | None:
    """Read what the registry host keeps, None if it is damaged."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    path, mark = values.get("path", ""), values.get("id", "")
    if not path.startswith("/") or not is_id(mark):
        return None
    return Record(path, mark, values.get("mount") or None)


def is_id(text: str | None) -> bool:
    """Return whether a mark's first line is an id, and not what a person or a power failure left there."""
    return bool(text and re.fullmatch("[0-9a-f]{32}", text))


def mark_text(id_: str) -> str:
    """Return the content of the mark."""
    return f"{id_}\nThis folder has the images of homelab-registry. Keep this file with them.\n"


def look(record: str, paths: Sequence[str]) -> str:
    """Return the script that reads the host's `record` (a path), and looks at the paths and at the one in it."""
    return f"""{LOOK}
record={shlex.quote(record)}
if [ -f "$record" ]; then echo "record|$(base64 -w 0 < "$record")"; fi
recorded=$(sed -n 's/^path=//p' "$record" 2>/dev/null | head -n 1)
set -- {shlex.join(paths)}
for path; do
    [ "$path" != "$recorded" ] || recorded=
    look_at_storage "$path"
done
[ -z "$recorded" ] || look_at_storage "$recorded"
"""


def read_places(answer: Answer) -> dict[str, Place]:
    """Return what is at each path that was looked at."""
    marks = {path: "|".join(text) for path, *text in answer.all("mark")}
    links = {path: "|".join(text) for path, *text in answer.all("link")}
    folders = {path: "|".join(text) for path, *text in answer.all("folder")}
    images = {path: int(count) for path, count in answer.all("images")}
    closed = {path for (path,) in answer.all("closed")}
    return {
        path: Place(
            mount=_read_mount("|".join(text)),
            link=links.get(path),
            exists=path in folders or path in closed,
            closed=path in closed,
            entries=tuple(name for name in folders.get(path, "").split("/") if name),
            mark=marks.get(path),
            repositories=images.get(path),
        )
        for path, *text in answer.all("mount")
    }


def _read_mount(line: str) -> Mount | None:
    fields = line.split(" ")
    if len(fields) != 4:
        return None
    target, source, kind, options = fields
    return Mount(target, source, kind, read_only="ro" in options.split(","))


def locate(path: str, places: Mapping[str, Place], records: Sequence[Record]) -> Record:
    """Return the record of the images at a path, after a check that it is theirs.

    `records` is what is known of where they were, the surest first. `Conflict` unless the images are there, or nothing
    ever was there and no images are elsewhere.
    """
    _check(path, places, records)
    return Record(path, _mark_id(path, places[path], records), _target(places[path]))


def _check(path: str, places: Mapping[str, Place], records: Sequence[Record]) -> None:
    place = places[path]
    _check_usable(path, place)
    last = next((record for record in records if record.path == path), None)
    known = {record.id for record in records if record.id}
    foreign = is_id(place.mark) and bool(known) and place.mark not in known
    images_known = place.repositories is not None and (last is not None or foreign)
    if not images_known and (place.mark is None or foreign):
        _check_alone(path, place)
    if place.repositories is not None or (place.mark is not None and not foreign):
        _check_known(path, place, last, foreign=foreign)
        return
    if last:
        there = "is empty" if place.exists else "does not exist"
        was_on, mount = "", "mount its disk or share"
        if last.mount and last.mount != "/" and _target(place) != last.mount:
            was_on, mount = f": {last.mount} is not mounted", f"mount it (mount {last.mount})"
        raise Conflict(
            f"the folder of the images, {path}, {there}{was_on}",
            f"{mount}, see findmnt -T {path}, and run again; or, to begin without images, on that host: "
            f"{_begin(path)}",
        )
    moved = next((record for record in records if not _is_unused(places.get(record.path))), None)
    if moved:
        raise Conflict(
            f"the images are in {moved.path}, and registry_storage_path is now {path}, which has none",
            f"move them, on that host: {_move(moved.path, path)}; or, to begin without images: {_begin(path)}; "
            "and run again",
        )


def _check_alone(path: str, place: Place) -> None:
    """Raise `Conflict` if a new folder is not the images' alone: it gets an owner of its own and mode 0700."""
    top = IMAGES.partition("/")[0]
    others = [name for name in place.entries if place.repositories is None or name != top]
    if not others:
        return
    own = f"{path.rstrip('/')}/homelab-registry"
    if place.repositories is None:
        remedy = f'set registry_storage_path = "{own}" and run again'
    else:
        remedy = (
            f"move them, on that host and with their registry stopped: mkdir {own} && mv {path}/{top} {own}/; then set "
            f'registry_storage_path = "{own}" and run again'
        )
    images = " besides a registry's images" if place.repositories is not None else ""
    raise Conflict(f"registry_storage_path {path} has other things in it{images}: {some_of(others)}", remedy)


def _check_usable(path: str, place: Place) -> None:
    if place.link is not None:
        there = place.exists
        raise Conflict(
            f"{path} is a symbolic link to {place.link}{'' if there else ', which is not there'}",
            f'set registry_storage_path = "{place.link}" and run again'
            if there
            else f"mount what {place.link} is on (findmnt -T {place.link}) and run again",
        )
    if place.closed:
        raise Conflict(
            f"root may not look into {path}{_on(place)}",
            "let root in (no_root_squash in the NFS server's exports), and run again",
        )
    if place.mount and place.mount.read_only:
        target = place.mount.target
        raise Conflict(
            f"{path} is mounted read-only{_on(place)}",
            f"see why (dmesg; findmnt {target}), mount it writable (mount -o remount,rw {target}) and run again",
        )


def _check_known(path: str, place: Place, last: Record | None, *, foreign: bool) -> None:
    """Raise `Conflict` if the images at a path are not those that this registry had."""
    if not is_id(place.mark):
        return  # images without a mark are from before there were marks, or restored without it
    if foreign:
        raise Conflict(
            f"{path} has the images of another registry{_on(place)}",
            f"mount the right one (findmnt -T {path} shows what is there) and run again; or, to serve these, on "
            f"that host: echo > {path}/{MARK}",
        )
    was, now = last.mount if last else None, _target(place)
    if was and now and was != now and was.startswith(now.rstrip("/") + "/"):
        raise Conflict(
            f"{path} was on what is mounted at {was}, and is not now",
            f"mount it (mount {was}) and run again; or, if the images were moved, on that host: "
            f"echo > {path}/{MARK}",
        )


def _is_unused(place: Place | None) -> bool:
    """Return whether a folder of ours was seen, and no image was ever pushed to it."""
    return place is not None and place.mark is not None and not place.repositories


def _mark_id(path: str, place: Place, records: Sequence[Record]) -> str:
    """Return the id that the mark should have.

    An empty mark in the place of a lost folder gets a new id: what comes back there later may have the old one.
    """
    if place.mark is not None and is_id(place.mark):
        return place.mark
    known = [record for record in records if record.id and (place.mark is None or record.path != path)]
    return known[0].id if known and known[0].id else secrets.token_hex(16)


def _target(place: Place) -> str | None:
    return place.mount.target if place.mount else None


def _on(place: Place) -> str:
    return f" ({place.mount.source} at {place.mount.target})" if place.mount else ""


def _begin(path: str) -> str:
    return f"mkdir -p {path} && echo > {path}/{MARK}"


def _move(old: str, new: str) -> str:
    return f"docker stop homelab-registry && mkdir -p {new} && cp -a {old}/. {new}/"
