"""The web page: its files, which the gateway serves, and what it shows of this registry beside the images.

The gateway sends the page's own files and the CA to anyone, and the rest only to who has proven a password
(`templates/gateway/web.conf.j2`). Nothing here is secret all the same.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import shlex
import tarfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, dirname, relpath
from typing import Any

from tasks.certificates.rollover import Authorities
from tasks.registry import cache, keeper
from tasks.remote import files as remote
from tasks.remote.files import File, Observed
from tasks.remote.steps import Step
from tasks.settings.load import Settings

FOLDER = "gateway/web"
"""What anyone may read, in our folder on the registry host: the page's files and the CA."""

SHOWN = "gateway/shown"
"""What the page shows and only accounts may read, in our folder on the registry host."""

FOLDERS = (FOLDER, SHOWN)

FILES = (
    "index.html", "style.css", "icon.svg", "app.js", "connect.js", "delete.js", "images.js", "registry.js",
    "repository.js", "tag.js", "view.js",
)  # fmt: skip
"""The page's own files, in `files/web`."""

START = "index.html"
"""What is at `/`."""

CA = "ca.crt"

PUBLIC = (*FILES, CA)
"""All that anyone may read."""

ABOUT, INDEX = "about.json", "index.json"
"""What is known of the registry, and of its images when a run read them."""


@dataclass(frozen=True)
class Page:
    """The page's content: what anyone may read, by name, and what is known `about` the registry."""

    public: Mapping[str, str]
    about: str


def locations() -> dict[str, Any]:
    """Return what the gateway's configuration has of the page: which file in its folder answers which path."""
    private = f"/{basename(SHOWN)}"
    return {
        "folder": basename(FOLDER),
        "start": START,
        "public": [name for name in PUBLIC if name != START],
        "shown": {
            ABOUT: f"{private}/{ABOUT}",
            INDEX: f"{private}/{INDEX}",
            "used": f"/{basename(keeper.LIMIT)}/{keeper.FIGURES}",
        },
    }


def page(
    settings: Settings, authorities: Authorities, certificate_ends: dt.datetime, source: Path
) -> Page | None:
    """Return the page's content, None if it is off; `source` is the folder of the project's files."""
    if not settings.registry_web:
        return None
    own = {name: (source / "web" / name).read_text() for name in FILES}
    about = json.dumps(_about(settings, authorities, certificate_ends), indent=1)
    return Page({**own, CA: authorities.ca_bundle}, f"{about}\n")


def files(folder: str, page: Page, user: int) -> tuple[File, ...]:
    """Return the page's files; `folder` is ours on the registry host, `user` that of the gateway."""
    texts = {
        **{f"{FOLDER}/{name}": text for name, text in page.public.items()},
        f"{SHOWN}/{ABOUT}": page.about,
    }
    return tuple(File(f"{folder}/{name}", "0600", user, user, text) for name, text in texts.items())


def place(folder: str, wanted: Sequence[File], observed: Mapping[str, Observed | None]) -> list[Step]:
    """Return the step that writes those files of the page which are not as they should be, if there are any.

    They are below `folder`. Each is replaced in one rename. What comes is packed, so that half of it is none.
    """
    if not (off := [each for each in wanted if remote.place([each], observed)]):
        return []
    new = {relpath(remote.temporary(each.path), folder): each for each in off}
    folders = dict.fromkeys(dirname(each.path) for each in off)
    owner, mode = f"{off[0].owner}:{off[0].group}", off[0].mode
    script = (
        f"umask 077; cd {shlex.quote(folder)} || exit 1\n"
        f"set -- {shlex.join(new)}; trap 'rm -f \"$@\"' EXIT\n"
        f'base64 -d | tar -xzmf - --no-same-owner && chown {owner} "$@" && chmod {mode} "$@" && sync "$@" || exit 1\n'
        "for new; do\n"
        f'    name=${{new##*/.}} && mv -fT "$new" "${{new%/*}}/${{name%{remote.NEW_SUFFIX}}}" || exit 1\n'
        f"done; {' && '.join(map(remote.sync, folders))}"
    )
    one = len(off) == 1
    names = [relpath(each.path, folder) for each in off]
    what = " and ".join(names) if len(names) < 3 else f"{len(names)} files"
    if all(observed[each.path] is None for each in off):
        why = "it is missing" if one else "they are missing"
    else:
        why = "its content is not as it should be" if one else "they are not as they should be"
    return [
        Step(
            f"write {what} of the web page: {why}", script, _packed(new), path=f"{folder}/{basename(FOLDER)}"
        )
    ]


def _packed(files: Mapping[str, File]) -> str:
    """Return files, by the names that they get, as a compressed archive in Base64."""
    made = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, each in files.items():
            data = each.content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return b64encode(made.getvalue()).decode()


def paths() -> list[str]:
    """Return the paths of all files of the page, in our folder."""
    return [*(f"{FOLDER}/{name}" for name in PUBLIC), *(f"{SHOWN}/{name}" for name in (ABOUT, INDEX))]


def removal(folder: str, present: Mapping[str, Any]) -> list[Step]:
    """Return the step that removes the page's files, if there are any.

    `present` says what is in `folder`, ours on the registry host.
    """
    found = [path for name in FOLDERS if present[path := f"{folder}/{name}"]]
    text = "remove the web page's files: registry_web is off"
    return [Step(text, f"rm -rf {shlex.join(found)}")] if found else []


def _about(settings: Settings, authorities: Authorities, certificate_ends: dt.datetime) -> dict[str, Any]:
    """Return what the page shows of this registry. Times are ISO 8601, sizes bytes."""
    authority = authorities.latest
    return {
        "name": settings.endpoint,
        "certificate_ends": certificate_ends.isoformat(),
        "ca_ends": authority.certificate.not_valid_after_utc.isoformat(),
        "deletes": settings.registry_delete_enabled,
        "limit": settings.storage_limit,
        "warn": settings.registry_storage_warn,
        "trash_days": settings.registry_trash_days,
        "untagged_days": settings.registry_untagged_days,
        "caches": [each.name for each in settings.registry_caches],
        "cache_name": cache.name(settings),
    }
