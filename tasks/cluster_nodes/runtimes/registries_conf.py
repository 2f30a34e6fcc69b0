"""`registries.conf` and its drop-ins: what keeps CRI-O, Podman and Skopeo from pulling with our CA from our registry.

The rules are those of containers/image (containers-registries.conf(5), `pkg/sysregistriesv2`): an entry in a later file
replaces those of its prefix in earlier ones, and for an image the entry with the longest prefix counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.remote import toml_edit
from tasks.remote.source_lines import line_of
from tasks.remote.steps import Conflict

CONFIG = "/etc/containers/registries.conf"
DROP_INS = "/etc/containers/registries.conf.d/*.conf"


@dataclass(frozen=True)
class Entry:
    """An entry of a file: its table, and its index among the tables (-1: it is one of version 1 of the format)."""

    path: str
    text: str
    index: int
    says: Any

    @property
    def location(self) -> str:
        """Where the images are, "" for where their name says."""
        return _name(self.says, "location")

    @property
    def prefix(self) -> str:
        """What the names of the images begin with; `*.` stands for the host's first labels."""
        return _name(self.says, "prefix") or self.location

    def line(self, key: str) -> str:
        """Return file and line of a key or of a table of it, or of the entry's name if entries are inline."""
        header = re.compile(r"^[ \t]*\[\[\s*registry\s*\]\]", re.MULTILINE)
        if not 0 <= self.index < len(header.findall(self.text)):
            return self.line_with(self.prefix)
        written = rf"^[ \t]*(?:[\"']?{key}[\"']?\s*=|\[\[\s*registry\s*\.\s*{key}\s*\]\])"
        words = [*[header] * (self.index + 1), re.compile(written, re.MULTILINE)]
        return f"{self.path} line {line_of(self.text, *words)}"

    def line_with(self, name: str) -> str:
        """Return file and line of a name."""
        written = re.compile(rf"[\"']{re.escape(name)}/*[\"']")
        return f"{self.path} line {line_of(self.text, written)}"


def check(texts: Mapping[str, str], endpoints: Sequence[str]) -> None:
    """Raise `Conflict` if pulls from our registry are not checked, are refused, or go elsewhere.

    `texts` are all files that were read, by path.
    """
    entries = list(_in_force(texts))
    for ours in endpoints:
        matching = [(entry, _reference(entry, ours)) for entry in entries]
        longest = max((len(entry.prefix) for entry, begin in matching if begin == f"{ours}/"), default=0)
        for entry, begin in matching:
            _check_through(entry, ours)
            if begin and (begin != f"{ours}/" or len(entry.prefix) == longest):
                _check_entry(entry, ours, begin, endpoints)


def entry_for(name: str, texts: Mapping[str, str]) -> Entry | None:
    """Return the entry in force that is about all images of a registry, None if there is none."""
    found = [entry for entry in _in_force(texts) if entry.prefix and _matched(entry.prefix, f"{name}/")]
    return max(found, key=lambda entry: len(entry.prefix), default=None)


def _check_through(entry: Entry, ours: str) -> None:
    """Raise `Conflict` if images of any name are pulled from our registry without a check."""
    blocked = toml_edit.value_at(entry.says, "blocked") is True
    places = [] if blocked else [entry.says, *toml_edit.values_at(entry.says, "mirror")]
    for place in places:
        name = _name(place, "location")
        if toml_edit.value_at(place, "insecure") is True and name.partition("/")[0] == ours:
            raise _insecure(entry.line_with(name), ours)


def _check_entry(entry: Entry, ours: str, reference: str, endpoints: Sequence[str]) -> None:
    if toml_edit.value_at(entry.says, "insecure") is True:
        raise _insecure(entry.line_with(entry.prefix), ours)
    rest = reference[_matched(entry.prefix, reference) :]
    if toml_edit.value_at(entry.says, "blocked") is True:
        key, problem = "blocked", f"has {ours} blocked"
    elif toml_edit.values_at(entry.says, "mirror"):
        key, problem = "mirror", f"has a mirror for {ours}, which would be asked first"
    elif entry.location and (entry.location + rest).partition("/")[0] not in endpoints:
        key, problem = "location", f"leads {ours} to another location"
    else:
        return
    raise Conflict(f"{entry.line(key)} {problem}", "take that out and run again")


def _insecure(where: str, ours: str) -> Conflict:
    return Conflict(
        f"{where} switches the check of certificates off for {ours} (insecure)",
        "take that out and run again",
    )


def _in_force(texts: Mapping[str, str]) -> Iterator[Entry]:
    """Yield the entries that no later file replaces."""
    found: dict[str, list[Entry]] = {}
    for path in sorted(
        (path for path in texts if path.startswith(CONFIG)), key=lambda path: (path != CONFIG, path)
    ):
        added: dict[str, list[Entry]] = {}
        for entry in _entries(path, texts[path]):
            added.setdefault(entry.prefix, []).append(entry)
        found |= added
    for entries in found.values():
        yield from entries


def _entries(path: str, text: str) -> Iterator[Entry]:
    says = toml_edit.read(text, path)
    for index, table in enumerate(toml_edit.values_at(says, "registry")):
        yield Entry(path, text, index, table)
    for kind, key in (("insecure", "insecure"), ("block", "blocked")):
        for name in toml_edit.values_at(says, "registries", kind, "registries"):
            yield Entry(path, text, -1, {"location": str(name), key: True})


def _name(table: Any, key: str) -> str:
    return str(toml_edit.value_at(table, key) or "").rstrip("/")


def _reference(entry: Entry, endpoint: str) -> str:
    """Return with what the names of those images of a registry begin that an entry is about, "" if there are none."""
    _, slash, path = entry.prefix.partition("/")
    reference = f"{endpoint}/{path}{slash}"  # an image's name follows
    return reference if entry.prefix and _matched(entry.prefix, reference) else ""


def _matched(prefix: str, reference: str) -> int:
    """Return how much of a reference a prefix takes, 0 if it does not match (`refMatchingPrefix`).

    `example.com` matches `example.com:5443` too.
    """
    wanted = prefix[1:] if prefix.startswith("*.") else prefix
    begin = reference.find(wanted) if wanted != prefix else 0 if reference.startswith(prefix) else -1
    end = begin + len(wanted)
    host_is_ours = begin >= 0 and "/" not in reference[:begin]
    return end if host_is_ours and reference[end : end + 1] in ("", ":", "/", "@") else 0
