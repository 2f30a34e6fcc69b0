"""Pull-through caches for programs that read `hosts.toml`: what their `certs.d` folder gets, and what loses it again.

containerd reads one file for each registry (its docs/hosts.md), Docker's containerd image store does the same (moby,
`daemon/hosts.go`). The caches are asked first, under the name of a mirror. If they are off or say no, the registry
itself is asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.registry import cache
from tasks.remote import files, toml_edit
from tasks.remote.files import File, Folder
from tasks.remote.source_lines import line_at
from tasks.remote.steps import Conflict, Step
from tasks.settings.caches import Upstream
from tasks.settings.load import HostSettings, Settings

MARK = "# Written by homelab-registry for its caches; a change here is undone by its next run."
"""Begins each `hosts.toml` that goes when its cache does."""

DIAL_TIMEOUT = "3s"
"""How long each request waits for a registry host that is switched off: time for the first packet to be sent again.

containerd reads it from 2.1 on (containerd#11106). Older ones ignore a key that they do not know, and wait 30 seconds.
"""

DEFAULT = "_default"
"""The folder that is read for a registry without a folder of its own (containerd's hosts.go, `hostPaths`)."""


@dataclass(frozen=True)
class Mirror:
    """The caches that a host pulls through: `endpoint` is where they answer, `upstreams` whose images they have."""

    endpoint: str
    upstreams: Sequence[Upstream]

    @property
    def url(self) -> str:
        """Where they answer, as a URL."""
        return f"https://{self.endpoint}"

    @property
    def names(self) -> list[str]:
        """What the names of those images begin with."""
        return [each.name for each in self.upstreams]


def mirror(settings: Settings, host_settings: HostSettings) -> Mirror | None:
    """Return the caches that a host pulls through, None for none."""
    if not settings.registry_caches or not host_settings.registry_use_caches:
        return None
    return Mirror(cache.endpoint(settings), settings.registry_caches)


def names(settings: Settings) -> list[str]:
    """Return the names whose folders are looked at for the caches' sake; none if there are no caches."""
    if not settings.registry_caches:
        return []
    return [cache.endpoint(settings), *(each.name for each in settings.registry_caches), DEFAULT]


def texts(folder: str, looked_at: Iterable[str]) -> list[str]:
    """Return the files to read in a `certs.d` folder, as patterns: every `hosts.toml`, and those names' certificates.

    An earlier run may have written one for a cache that these settings do not name any more.
    """
    certificates = [f"{folder}/{name}/*.{ending}" for name in looked_at for ending in ("crt", "cert")]
    return [f"{folder}/*/hosts.toml", *certificates]


def hosts_toml(upstream: Upstream, mirror_endpoint: str, ca_path: str) -> str:
    """Return the file that has a registry's images asked of the caches first, and of the registry if they have none."""
    return _hosts_toml(upstream.registry, f"https://{mirror_endpoint}", ca_path)


def _hosts_toml(server: str, host: str, ca_path: str) -> str:
    return (
        f'{MARK}\nserver = "{server}"\n\n'
        f'[host."{host}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{ca_path}"\n'
        f'  dial_timeout = "{DIAL_TIMEOUT}"\n'
    )


def wanted(folder: str, used: Mirror, ca_pem: str, owner: int = 0, group: int = 0) -> list[Folder]:
    """Return the folders and files that must be there, each before what needs it.

    A `hosts.toml` that names a CA which is not there would fail every pull from its registry. The mirror has one too,
    which shows that its folder is ours.
    """
    home = f"{folder}/{used.endpoint}"
    ca = f"{home}/ca.crt"
    items = [
        Folder(home, owner=owner, group=group),
        File(ca, "0644", owner, group, ca_pem),
        File(f"{home}/hosts.toml", "0644", owner, group, _hosts_toml(used.url, used.url, ca)),
    ]
    for each in used.upstreams:
        items.append(Folder(f"{folder}/{each.name}", owner=owner, group=group))
        text = hosts_toml(each, used.endpoint, ca)
        items.append(File(f"{folder}/{each.name}/hosts.toml", "0644", owner, group, text))
    return items


def is_ours(text: str) -> bool:
    """Return whether a `hosts.toml` is one of these."""
    return text.startswith(MARK)


def check(folder: str, used: Mirror, found: Mapping[str, str]) -> None:
    """Raise `Conflict` if the user's own files in a `certs.d` folder say where an upstream's images come from.

    `found` are the texts of the existing files that `texts` names. What is in a folder of its own, and what is in the
    default one, would not be read any more.
    """
    for each in used.upstreams:
        for name in (each.name, DEFAULT):
            path = f"{folder}/{name}/hosts.toml"
            text = found.get(path, "")
            if text.strip() and not is_ours(text):
                raise Conflict(
                    f"{_place(path, text)}, which a cache of {each.name} would replace", remedy(each)
                )
            begin = f"{folder}/{name}/"
            for path in sorted(found):
                if path.startswith(begin) and path.endswith((".crt", ".cert")):
                    problem = (
                        f"{path} line 1 is a certificate for {each.name}, unread once there is a hosts.toml"
                    )
                    raise Conflict(problem, remedy(each))


def remedy(upstream: Upstream) -> str:
    """Return what to do if the user's own configuration of an upstream contradicts its cache."""
    return (
        f"take that out, or {upstream.name} out of registry_caches, or set registry_use_caches to False for this host, "
        "and run again"
    )


def _place(path: str, text: str) -> str:
    """Return file and line, and what is there: the first host that is asked, or else the first key."""
    says = toml_edit.read(text, path)
    hosts = says.get("host")
    if isinstance(hosts, dict) and hosts:
        url = next(iter(hosts))
        return f"{path} line {toml_edit.line_of(text, ['host', url])} asks {without_login(url)}"
    key = next(iter(says), "")
    shown = f' = "{without_login(says[key])}"' if key == "server" and isinstance(says[key], str) else ""
    line = toml_edit.line_of(text, [key]) if key else line_at(text, 0)
    return f"{path} line {line} has {key or 'a comment alone'}{shown}"


def without_login(url: str) -> str:
    """Return a URL without the name and password that may be in it."""
    return re.sub("//[^/@]*@", "//", url)


def take_back(folder: str, used: Mirror | None, found: Mapping[str, str]) -> list[Step]:
    """Return the steps that remove from a `certs.d` folder what was written for caches that are not used any more.

    The files that name the mirror's CA go before it does. A folder goes if nothing else is in it.
    """
    kept = {used.endpoint, *used.names} if used else set()
    ours = [path for path, text in sorted(found.items()) if path.startswith(f"{folder}/") and is_ours(text)]
    gone = [path for path in ours if files.parent(path).rpartition("/")[2] not in kept]
    mirrors = [path for path in gone if _is_mirror(path, found[path])]
    return [
        _removal(path, path in mirrors)
        for path in (*(each for each in gone if each not in mirrors), *mirrors)
    ]


def _is_mirror(path: str, text: str) -> bool:
    return f'[host."https://{files.parent(path).rpartition("/")[2]}"]' in text


def _removal(path: str, is_mirror: bool) -> Step:
    folder = files.parent(path)
    what = ([f"{folder}/ca.crt"] if is_mirror else []) + [path]
    removed = " && ".join(f"rm -f {shlex.quote(each)}" for each in what)
    return Step(
        f"remove {folder if is_mirror else path}: this host uses no such cache any more",
        f"{removed} && {files.sync(folder)} && rmdir --ignore-fail-on-non-empty {shlex.quote(folder)}",
        path=path,
    )
