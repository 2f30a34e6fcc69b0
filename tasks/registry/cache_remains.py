"""What the caches leave behind when they are switched off, move, or lose an account: it is only a cache, and goes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.registry import containers, images
from tasks.registry.cache import FOLDER, LOGINS, MARK, NAME, NAMES, RUN, STORAGE
from tasks.remote import files
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.files import Folder, Observed
from tasks.remote.steps import Step

Reports = Mapping[str, Mapping[str, Any]]
"""`docker inspect`'s report by the name of a container."""


def unwanted_logins(
    folder: str, wanted: Iterable[Folder], found: Mapping[str, Observed | None]
) -> list[Step]:
    """Return the steps that remove logins which nothing asks for any more; `folder` is ours on the registry host."""
    present = [path for path in found if path.startswith(f"{folder}/{LOGINS}/") and found[path]]
    unwanted = sorted(set(present) - {each.path for each in wanted})
    return files.remove(unwanted, found, "registry_cache_accounts has it no longer")


def left(storage: str, present: Reports, in_use: Iterable[str]) -> list[Step]:
    """Return the step that empties the folder of the caches before; `storage` is where they are now.

    `in_use` are the folders that containers have from now on: none of these is emptied.
    """
    before = sorted(_storages(present, in_use) - {storage})
    return [Step(f"empty {each}: the caches are in {storage} now", empty(each), path=each) for each in before]


def removal(
    storage: str,
    folder: str,
    found: Mapping[str, Observed | None],
    present: Reports,
    in_use: Iterable[str] = (),
) -> list[Step]:
    """Return the step that removes the container, what it kept and its settings, if any of it is there.

    `storage` is the folder of the caches, `folder` ours on the registry host, `found` what is at paths. A container of
    that name which is not ours stays, and so does a folder without our mark. `in_use` is as for `left`.
    """
    ours = _ours(present)
    folders = [each for each in (f"{folder}/{FOLDER}", f"{folder}/{RUN}") if found[each]]
    storages = {storage} if found[f"{storage}/{MARK}"] else set[str]()
    if not ours and not folders and not storages:
        return []
    built = {str(present[each]["Config"].get("Image", "")) for each in ours}
    unused = sorted(image for image in built if image.startswith(f"{images.HOST}/"))
    script = [
        *([f"docker rm -f {shlex.join(ours)} >/dev/null"] if ours else []),
        f"{{ ! docker network inspect {NAME} >/dev/null 2>&1 || docker network rm {NAME} >/dev/null; }}",
        *(f"{{ {empty(each)}; }}" for each in sorted(storages | _storages(present, in_use))),
        *([f"rm -rf {shlex.join(folders)}"] if folders else []),
        *([f"{{ docker rmi {shlex.join(unused)} >/dev/null 2>&1 || true; }}"] if unused else []),
    ]
    return [
        Step(f"remove {NAME} and what it kept: registry_caches is not set", OWN_ENGINE + " && ".join(script))
    ]


def empty(storage: str) -> str:
    """Return the command that removes a folder of caches, or all in it if it is where a disk is mounted.

    A folder without our mark stays as it is.
    """
    path = shlex.quote(storage)
    return (
        f"[ ! -e {path}/{MARK} ] || {{ find {path} -xdev -mindepth 1 ! -name {MARK} -delete && "
        f"rm -f {path}/{MARK} && {{ rmdir {path} 2>/dev/null || true; }}; }}"
    )


def _ours(present: Reports) -> list[str]:
    return [each for each in NAMES if each in present and containers.is_ours(present[each])]


def _storages(present: Reports, in_use: Iterable[str]) -> set[str]:
    """Return the folders that containers of ours keep caches in, but for those that have a folder in use in them."""
    mounts = [mount for each in _ours(present) for mount in present[each].get("Mounts", ())]
    found = {mount["Source"] for mount in mounts if mount["Destination"] == STORAGE}
    return {each for each in found if not any(f"{used}/".startswith(f"{each}/") for used in in_use)}
