"""Our drop-in for `registries.conf`: CRI-O and Podman ask the caches first, and the registry itself if they say no.

They give a mirror no hint of what they ask for, so the upstream's name is a part of its location
(containers-registries.conf(5)).
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import replace

from tasks.clients import mirrors
from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.runtimes import registries_conf
from tasks.remote import files, toml_edit
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict, Step

FOLDER = posixpath.dirname(registries_conf.DROP_INS)
PATH = f"{FOLDER}/50-homelab-registry.conf"
ROOTS = "/root/.config/containers/registries.conf"
"""If it exists, it is read instead of the system's file and drop-ins (`pkg/sysregistriesv2`, `newConfigWrapper`)."""

PATHS = (*files.observed_paths([PATH]), ROOTS)
"""The paths to look at."""


def text(used: Mirror) -> str:
    """Return the drop-in."""
    tables = [
        f"\n[[registry]]\nprefix = {json.dumps(name)}\nlocation = {json.dumps(name)}\n\n"
        f"[[registry.mirror]]\nlocation = {json.dumps(f'{used.endpoint}/{name}')}\n"
        for name in used.names
    ]
    return "".join([mirrors.MARK, "\n", *tables])


def check(used: Mirror, observed: Mapping[str, Observed | None], texts: Mapping[str, str]) -> None:
    """Raise `Conflict` if the user's own files say where an upstream's images come from, or hide ours."""
    if observed[ROOTS]:
        raise Conflict(
            f"{ROOTS} is read instead of {PATH} when root pulls, so no cache would be asked",
            f"move it to {registries_conf.CONFIG}, or set registry_use_caches to False for this host, and run again",
        )
    if texts.get(PATH, "").strip() and not mirrors.is_ours(texts[PATH]):
        raise Conflict(f"{PATH} line 1 is not ours", f"move it away (mv {PATH} {PATH}.old) and run again")
    theirs = {path: each for path, each in texts.items() if path != PATH}
    for each in used.upstreams:
        if entry := registries_conf.entry_for(each.name, theirs):
            raise Conflict(
                f"{entry.line_with(entry.prefix)} says where {each.name} is, which a cache of it would replace",
                mirrors.remedy(each),
            )


def steps(
    used: Mirror | None,
    certs: str,
    observed: Mapping[str, Observed | None],
    texts: Mapping[str, str],
    reload: str,
) -> list[Step]:
    """Return the steps that place the drop-in and have it read by the command `reload`, or that take it back.

    `certs` is the folder with the CA of each mirror. That of a mirror that is not used any more goes first: without it
    the registry itself is asked, and what names the mirror shows the next run what to remove.
    """
    present = texts.get(PATH, "")
    former = _endpoints(present) if mirrors.is_ours(present) else set()
    gone = [_forget(f"{certs}/{each}") for each in sorted(former - ({used.endpoint} if used else set()))]
    if used:
        folder = [] if observed[FOLDER] else [Folder(FOLDER)]
        placed = files.place([*folder, File(PATH, "0644", content=text(used))], observed)
    elif mirrors.is_ours(present):
        placed = [files.removal(PATH, "this host uses no caches any more")]
    else:
        placed = []
    return gone + [_read(step, reload) if step.path == PATH and reload else step for step in placed]


def _read(step: Step, reload: str) -> Step:
    return replace(
        step, text=f"{step.text}\n{reload}: it is to read that", script=f"{step.script} && {reload}"
    )


def _endpoints(present: str) -> set[str]:
    """Return the mirrors that a drop-in of ours names."""
    tables = toml_edit.values_at(toml_edit.read(present, PATH), "registry")
    locations = [
        str(toml_edit.value_at(each, "location") or "")
        for table in tables
        for each in toml_edit.values_at(table, "mirror")
    ]
    return {location.partition("/")[0] for location in locations} - {""}


def _forget(folder: str) -> Step:
    ca, quoted = f"{folder}/ca.crt", shlex.quote(folder)
    return Step(
        f"remove {ca}: this host uses no such cache any more",
        f"rm -f {shlex.quote(ca)} && {{ [ ! -d {quoted} ] || rmdir --ignore-fail-on-non-empty {quoted}; }}",
        path=ca,
    )
