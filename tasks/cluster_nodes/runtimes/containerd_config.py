"""containerd's `config.toml` and the files it imports: the `config_path` in force, and the file to write it to.

The rules are those of containerd's own loader (1.x: `services/server/config/config.go`, 2.x:
`cmd/containerd/server/config/config.go`): files are read breadth-first, and a later one wins. In 1.x it replaces a
plugin's whole section; in 2.x sections are merged key by key, and an empty value wins as well.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.cluster_nodes.runtimes import containerd_spelling
from tasks.remote import toml_edit
from tasks.remote.steps import Conflict

CERTS = "/etc/containerd/certs.d"
"""The folder that we set `config_path` to, if nobody has chosen another."""

TWO_PATHS = "/etc/containerd/certs.d:/etc/docker/certs.d"
"""The default since 2.2, which pulls through the CRI take for a single folder (containerd#12808)."""

SOCKET = "/run/containerd/containerd.sock"
"""Where containerd listens by default."""

NAMES = CRI_1, CRI_2, IMAGES = "cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
"""The plugin that pulls, by its name in configuration versions 1, 2, and 3 or later."""

TRANSFER = {
    "use_local_image_pull": False,
    "image_pull_with_sync_fs": False,
    "discard_unpacked_layers": False,
    "disable_snapshot_annotations": True,
    "max_concurrent_downloads": 3,
}
"""The settings of the plugin that pulls with which it does so through the transfer service, and their defaults."""

NEWEST = 4
"""The newest configuration version that is known here (containerd 2.3)."""


@dataclass(frozen=True)
class Loaded:
    """One of the files: its text, what it says, and the names under which containerd looks there for the plugin.

    The first of these names wins.
    """

    path: str
    text: str
    says: Mapping[str, Any]
    names: tuple[str, ...]

    def registry(self, name: str) -> Mapping[str, Any]:
        """The registry settings under one of the plugin's names."""
        registry = toml_edit.value_at(self.section(name), "registry")
        return registry if isinstance(registry, dict) else {}

    def section(self, name: str) -> Any:
        """All settings under one of the plugin's names, None if there are none."""
        return toml_edit.value_at(self.says, "plugins", name)

    def line(self, *keys: str) -> str:
        """Return file and line of some keys, as messages name them."""
        return f"{self.path} line {toml_edit.line_of(self.text, keys)}"


@dataclass(frozen=True)
class InForce:
    """The `config_path` in force, or that there is none (""), and the file and plugin name to write it under.

    `is_list` says whether containerd takes the value for a list of folders, of which the first that has a registry's
    folder counts (`hostDirFromRoots` in containerd's image_pull.go).
    """

    value: str
    file: Loaded
    name: str
    is_list: bool = False

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """Where the value stands in that file."""
        return ("plugins", self.name, "registry", "config_path")

    @property
    def place(self) -> str:
        """File and line as messages name them."""
        return self.file.line(*self.keys)

    @property
    def ours_to_set(self) -> bool:
        """Whether nobody but a default has chosen the value, and it does not work as it is."""
        return self.value == "" or (self.value == TWO_PATHS and not self.is_list)

    @property
    def folder(self) -> str:
        """The folder for our `hosts.toml`; `Conflict` if the value has none that containerd looks into."""
        if self.ours_to_set:
            return CERTS
        folder = _folder(self.value.partition(":")[0] if self.is_list else self.value)
        if folder is None:
            raise Conflict(
                f"{self.place} sets config_path to {self.value!r}, which is not one absolute path",
                f'set it to "{CERTS}" and run again',
            )
        return folder


def _folder(value: str) -> str | None:
    """Return the folder that a `config_path` is, None if it is not a single absolute path."""
    return posixpath.normpath(value) if value.startswith("/") and ":" not in value else None


def version_of(reported: str) -> tuple[int, int]:
    """Return the major and minor number of containerd's version; `Conflict` if it reports none."""
    if found := re.match(r"v?(\d+)\.(\d+)", reported):
        return int(found[1]), int(found[2])
    raise Conflict(f"containerd reports no version ({reported!r})", "fix its installation and run again")


def fresh(default: int) -> str:
    """Return the text of a new main file: in the configuration version of this containerd's own `default`.

    2.3.0 to 2.3.4 do not start if a file and one that it imports, as the NVIDIA toolkit writes it, differ in that.
    """
    return f"version = {min(default or 2, NEWEST)}\n"


def load(main: str, texts: Mapping[str, str], version: tuple[int, int]) -> list[Loaded]:
    """Return the files in the order in which containerd reads them; none if there is no main file.

    Raises `Conflict` if one is broken or missing. `texts` are the files that were read, by path.
    """
    texts = {posixpath.normpath(path): text for path, text in texts.items()}
    if main not in texts:
        return []
    read: dict[str, Mapping[str, Any]] = {}
    pending = [main]
    while pending:
        path = pending.pop(0)
        if path not in read:
            read[path] = toml_edit.read(texts[path], path)
            containerd_spelling.check(path, texts[path], read[path], version)
            pending += _imports(path, texts, read[path])
    versions = {path: _version(path, texts[path], says) for path, says in read.items()}
    shared = [number for number in versions.values() if number] or [1 if version < (2, 0) else 3]
    return [
        Loaded(path, texts[path], says, _names(versions[path], shared[-1], version))
        for path, says in read.items()
    ]


def named(main: str, texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return what the files that were read so far name: the files that they import, and each `config_path`.

    In an import `*` may match more than containerd's pattern does. A broken file names nothing: `load` raises the
    `Conflict` if the file is needed.
    """
    imports: list[str] = []
    folders: list[str] = []
    pending, seen = [main], set()
    while pending:
        path = pending.pop()
        if path in seen or path not in texts:
            continue
        seen.add(path)
        with suppress(*toml_edit.UNREADABLE):
            says = tomllib.loads(toml_edit.without_bom(texts[path]))
            for pattern in _patterns(path, says):
                imports.append(re.sub(r"\[[^\]]*\]|\?", "*", pattern) if "*" in pattern else pattern)
                pending += [each for each in texts if _matches(each, pattern)]
            values = [toml_edit.value_at(says, "plugins", name, "registry", "config_path") for name in NAMES]
            firsts = [str(value or "").partition(":")[0] for value in values]
            folders += [folder for first in firsts if (folder := _folder(first)) and folder != CERTS]
    return sorted(set(imports)), sorted(set(folders))


def in_force(files: Sequence[Loaded], version: tuple[int, int]) -> InForce:
    """Return the `config_path` in force. `files` has at least the main file."""
    is_list = _takes_list(files, version)
    if version < (2, 0):
        holding = [file for file in files if file.section(file.names[0]) is not None]
        file = (holding or files[:1])[-1]
        value = str(file.registry(file.names[0]).get("config_path", ""))
        return InForce(value, file, file.names[0], is_list)
    for file in reversed(files):
        for name in file.names:
            if "config_path" in file.registry(name):
                return InForce(str(file.registry(name)["config_path"]), file, name, is_list)
    main = files[0]
    usual = CRI_2 if main.names[0] == CRI_2 else main.names[-1]
    own = next((name for name in main.names if main.section(name) is not None), usual)
    return InForce("", main, own, is_list)


def _takes_list(files: Sequence[Loaded], version: tuple[int, int]) -> bool:
    """Return whether `config_path` may be several folders.

    Since 2.1 only if containerd does not pull through its transfer service (`CheckLocalImagePullConfigs`), as with the
    configuration of EKS. Tried with 2.1.9 and 2.3.7.
    """
    settings: dict[str, Any] = dict(TRANSFER)
    for file in files:
        for name in reversed(file.names):
            settings |= _transfer_settings(file.section(name), name)
            if any(file.registry(name).get(key) for key in ("mirrors", "configs", "auths")):
                return True
    return version < (2, 1) or settings != TRANSFER


def _transfer_settings(section: Any, name: str) -> dict[str, Any]:
    """Return what a plugin's section says of `TRANSFER`: of an older name's, what is migrated (`migrateConfig`)."""
    tables: list[tuple[Any, Sequence[str]]] = [(section, list(TRANSFER))]
    if name != IMAGES:
        older = toml_edit.value_at(section, "containerd")
        layers = ["discard_unpacked_layers", "disable_snapshot_annotations"]
        moved = layers if toml_edit.value_at(older, "runtimes") is not None else []
        tables = [(section, ["image_pull_with_sync_fs", "max_concurrent_downloads"]), (older, moved)]
    return {
        key: table[key] for table, keys in tables for key in keys if isinstance(table, dict) and key in table
    }


def socket(files: Sequence[Loaded]) -> str:
    """Return where containerd listens. Since 2.3 that is a setting of a plugin."""
    places = [("grpc", "address"), ("plugins", "io.containerd.server.v1.grpc", "address")]
    given = [toml_edit.value_at(file.says, *keys) for file in files for keys in places]
    return next((str(each) for each in reversed(given) if each), SOCKET)


def _version(path: str, text: str, says: Mapping[str, Any]) -> int:
    version = says.get("version", 0)
    if not isinstance(version, int) or version > NEWEST:
        raise Conflict(
            f"{path} line {toml_edit.line_of(text, ['version'])} has configuration version {version!r}, "
            f"and the newest this project knows is {NEWEST}",
            "update this project and run again",
        )
    return version


def _names(own: int, shared: int, version: tuple[int, int]) -> tuple[str, ...]:
    """Return the plugin's names in a file whose `own` configuration version is this (0: it has none).

    Until 2.2 the version that is read last applies to all files. Since 2.3 each file is migrated by itself, and the
    settings under an older name replace those under a newer one.
    """
    if version < (2, 0):
        return (CRI_1,) if shared < 2 else (CRI_2,)
    if version < (2, 3):
        return (CRI_2, IMAGES) if shared == 2 else (IMAGES,)
    return {2: (CRI_2, IMAGES), 3: (IMAGES,), 4: (IMAGES,)}.get(own, (CRI_1, CRI_2, IMAGES))


def _imports(path: str, texts: Mapping[str, str], says: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for pattern in _patterns(path, says):
        matching = [each for each in sorted(texts) if _matches(each, pattern)]
        if not matching and "*" not in pattern:
            line = toml_edit.line_of(texts[path], ["imports"])
            raise Conflict(
                f"{path} line {line} imports {pattern}, which is not there", "correct it and run again"
            )
        found += matching
    return found


def _patterns(path: str, says: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a file imports, as absolute paths and patterns."""
    for pattern in toml_edit.values_at(says, "imports"):
        full = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(pattern)))
        yield f"/{full.lstrip('/')}"


def _matches(path: str, pattern: str) -> bool:
    """Match as containerd does, with Go's `filepath.Glob` if there is a `*`: no wildcard goes beyond a slash."""
    if "*" not in pattern:
        return path == pattern
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
