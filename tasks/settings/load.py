"""The settings in force: gathered from all places where a user may set them, and every mistake found at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.settings.redact import HIDDEN, name, shown
from tasks.settings.schema import HostSettings, RunWideKeys, Settings, default_state_dir, disagreements

__all__ = [
    "Configuration",
    "HostSettings",
    "Settings",
    "SettingsError",
    "Sources",
    "configure",
    "default_state_dir",
]

PREFIX = "registry_"
GROUPS = ("registry", "docker_hosts", "cluster_nodes", "cluster_control")
FROM_FILE_NAME = "the default, from the inventory's file name"
KEYS = (*RunWideKeys.model_fields, *HostSettings.model_fields)


class SettingsError(Exception):
    """The inventory cannot be used; `problems` has a line for each mistake: key, value, where, what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Sources:
    """All places of settings, as the user wrote them.

    `inventory` is the inventory's path as messages show it, `top_level` the plain names bound in it, `groups` the
    hosts of each group, `inline_group_data` the data of its `(hosts, data)` groups, `group_data` what stands in
    each file of `group_data/` (by its name without `.py`), `host_data` each host's own data, and `override` what
    `--data` gives. The files of `group_data/` that belong to `other_inventories` (file names without `.py`) are
    none of this run's business; pyinfra reads them all the same. Where these are not known (None), a file that
    names no group of hosts is taken for one of them.
    """

    inventory: str
    top_level: Mapping[str, object]
    groups: Mapping[str, Sequence[str]]
    inline_group_data: Mapping[str, Mapping[str, object]]
    group_data: Mapping[str, Mapping[str, object]]
    host_data: Mapping[str, Mapping[str, object]]
    override: Mapping[str, object]
    other_inventories: Collection[str] | None = None
    group_data_files: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The inventory's file name without `.py`, as pyinfra names the group of its group data."""
        return PurePosixPath(self.inventory).name.rsplit(".", 1)[0]

    @property
    def hosts(self) -> list[str]:
        """All hosts, each once."""
        listed = [host for hosts in self.groups.values() for host in hosts]
        return list(dict.fromkeys([*listed, *self.host_data]))

    def group_data_file(self, group: str, key: str = "") -> str:
        """Return the file of a group's data, as messages show it: where `key` stands, or where it should."""
        if found := self.group_data_files.get((group, key)):
            return name(found)
        return name(str(PurePosixPath(self.inventory).parent / "group_data" / f"{group}.py"))


@dataclass(frozen=True)
class Configuration:
    """What a run needs to know: the settings, those of each host, and the host in the group `registry`."""

    settings: Settings
    hosts: Mapping[str, HostSettings]
    registry_host: str


def configure(sources: Sources) -> Configuration:
    """Return the settings in force, weakest place first: all.py, the inventory's file, host data, --data.

    Raises `SettingsError` with every mistake there is, wherever it stands; a bad value is one even where a
    stronger place has a good one.
    """
    reader = _Reader(sources)
    reader.check_groups()
    reader.check_misplaced()
    by_host = reader.read()
    values = reader.run_wide(by_host)
    if reader.problems:
        raise SettingsError(reader.problems)
    return Configuration(
        settings=Settings(**values),
        hosts={
            host: HostSettings(**{key: found[key].value for key in HostSettings.model_fields})
            for host, found in by_host.items()
        },
        registry_host=sources.groups["registry"][0],
    )


@dataclass(frozen=True)
class _Found:
    """A value as it was found, and where."""

    value: Any
    place: str
    of_host: bool = False


@dataclass
class _Reader:
    """Reads the sources and collects what is wrong; `bad` are the keys that have a bad value somewhere."""

    sources: Sources
    problems: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    def check_groups(self) -> None:
        groups, place = self.sources.groups, name(self.sources.inventory)
        for group, hosts in groups.items():
            if group.startswith(PREFIX) or group == self.sources.stem:
                continue
            for known in difflib.get_close_matches(group, GROUPS, 1, 0.9):
                # A user's own group is welcome, `docker_hosts2` as well if `docker_hosts` takes it in.
                if set(hosts) - set(groups.get(known, ())):
                    self.problems.append(
                        f"{name(group)} ({place}): not a group of ours; did you mean {known}?"
                    )
        registry, control = (
            list(dict.fromkeys(groups.get(group, ()))) for group in ("registry", "cluster_control")
        )
        if len(registry) != 1:
            self.problems.append(
                f"registry = {shown('', registry)} ({place}): allowed is a group of exactly one host"
            )
        if len(control) > 1:
            self.problems.append(
                f"cluster_control = {shown('', control)} ({place}): allowed is at most one host"
            )

    def check_misplaced(self) -> None:
        sources, place = self.sources, name(self.sources.inventory)
        why = "pyinfra reads no settings here, and no group of hosts may begin with registry_"
        for key, value in _ours(sources.top_level).items():
            self._misplaced(key, value, place, why)
        for group, hosts in _ours(sources.groups).items():
            # pyinfra makes groups of its own: of the inventory's name, and of each file of group data.
            of_pyinfra = group == sources.stem or (group in sources.group_data and not hosts)
            if group not in sources.top_level and not of_pyinfra:
                self._misplaced(group, list(hosts), place, why)
        for group, data in sources.inline_group_data.items():
            for key, value in _ours(data).items():
                self._misplaced(key, value, f"{place}, group {name(group)}", "no place for settings")
        for group, data in sources.group_data.items():
            if group in {"all", sources.stem} or self._of_another_inventory(group):
                continue
            for key, value in _ours(data).items():
                self._misplaced(key, value, sources.group_data_file(group, key), "no place for settings")

    def read(self) -> dict[str, dict[str, _Found]]:
        """Return what holds for each host: (value, place) by key."""
        sources = self.sources
        common = {
            key: _Found(value, "the default")
            for model in (RunWideKeys(), HostSettings())
            for key, value in model
        }
        common["registry_state_dir"] = _Found(default_state_dir(sources.stem), FROM_FILE_NAME)
        for group in dict.fromkeys(["all", sources.stem]):
            data = sources.group_data.get(group, {})
            places = {key: sources.group_data_file(group, key) for key in data}
            for place in dict.fromkeys(places.values()):
                common |= self._read({key: data[key] for key in data if places[key] == place}, place)
        own = {
            host: self._read(data, f"{name(sources.inventory)}, host {name(host)}", of_host=True)
            for host, data in sources.host_data.items()
        }
        override = self._read(sources.override, "--data")
        # Without any host there is still something to check.
        return {host: common | own.get(host, {}) | override for host in sources.hosts or [""]}

    def run_wide(self, by_host: Mapping[str, Mapping[str, _Found]]) -> dict[str, Any]:
        """Return the value of each run-wide key that has just one, and check that they fit together."""
        found: dict[str, _Found] = {}
        for key in RunWideKeys.model_fields:
            if key in self.bad:
                continue
            one = next((host for host in by_host if by_host[host][key].of_host), next(iter(by_host)))
            found[key] = by_host[one][key]
            for other in by_host:
                if by_host[other][key].value != found[key].value:
                    self._two_values(key, found.pop(key), other, by_host[other][key])
                    break
        for key, relation, other in disagreements({key: each.value for key, each in found.items()}):
            value, place = found[other].value, found[other].place
            against = shown(other, list(value) if isinstance(value, dict) else value)
            self._problem(key, found[key], f"allowed is {relation} {other} = {against} ({place})")
        state_dir = found.get("registry_state_dir")
        if state_dir and state_dir.place == FROM_FILE_NAME:
            self._check(RunWideKeys, {"registry_state_dir": state_dir.value}, FROM_FILE_NAME)
        return {key: each.value for key, each in found.items()}

    def _of_another_inventory(self, group: str) -> bool:
        if self.sources.other_inventories is not None:
            return group in self.sources.other_inventories
        return group not in GROUPS and not self.sources.groups.get(group)

    def _read(self, data: Mapping[str, object], place: str, *, of_host: bool = False) -> dict[str, _Found]:
        values = _ours(data)
        if values.get("registry_state_dir", "") is None:  # as if it were not there
            del values["registry_state_dir"]
        for key in values:
            if key not in KEYS:
                self.problems.append(f"{name(key)} ({place}): unknown key; {self._nearest(key)}")
        good: dict[str, Any] = {}
        for model in (RunWideKeys, HostSettings):
            good |= self._check(
                model, {key: values[key] for key in values if key in model.model_fields}, place
            )
        return {key: _Found(value, place, of_host) for key, value in good.items()}

    def _check(self, model: type[BaseModel], values: Mapping[str, object], place: str) -> dict[str, Any]:
        try:
            checked = model.model_validate(values)
        except ValidationError as error:
            mistakes = error.errors(include_url=False, include_context=False)
        else:
            return {key: getattr(checked, key) for key in values}
        for mistake in mistakes:
            key, *inner = map(str, mistake["loc"])
            self.bad.add(key)
            self.problems.append(
                f"{_subject(key, inner, mistake['input'])} ({place}): "
                f"allowed is {model.model_fields[key].description}"
            )
        return self._check(model, {key: values[key] for key in values if key not in self.bad}, place)

    def _misplaced(self, key: str, value: object, place: str, why: str) -> None:
        if key not in KEYS:
            self.problems.append(f"{name(key)} ({place}): {why}; {self._nearest(key)}")
        else:
            where = self.sources.group_data_file(self.sources.stem)
            self._problem(key, _Found(value, place), f"{why}; put it into {where}")

    def _two_values(self, key: str, one: _Found, host: str, other: _Found) -> None:
        where = self.sources.group_data_file(self.sources.stem)
        value = HIDDEN if isinstance(other.value, dict) else shown(key, other.value)
        self._problem(
            key,
            one,
            f"allowed is one value for all hosts, and host {name(host)} has {value} ({other.place}); "
            f"put it into {where}",
        )

    def _problem(self, key: str, found: _Found, allowed: str) -> None:
        self.problems.append(f"{_subject(key, [], found.value)} ({found.place}): {allowed}")

    def _nearest(self, key: str) -> str:
        # Without the prefix, which would make all keys alike.
        known = [each.removeprefix(PREFIX) for each in KEYS]
        near = difflib.get_close_matches(key.removeprefix(PREFIX), known, 1)
        if near:
            return f"did you mean {PREFIX}{near[0]}?"
        return f"{self.sources.group_data_file('all')} lists all keys"


def _ours(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in data if isinstance(key, str) and key.startswith(PREFIX)}


def _subject(key: str, inner: Sequence[str], value: object) -> str:
    """Return `key = value`, or `key[item] = value` for an item in it."""
    if key != "registry_accounts":
        return f"{key}{''.join(f'[{each}]' for each in inner)} = {shown(key, value)}"
    if not inner:
        return f"{key} = {HIDDEN}"
    account = f"{key}[{shown(key, inner[0])}]"
    return account if inner[1:] == ["[key]"] else f"{account} = {HIDDEN}"
