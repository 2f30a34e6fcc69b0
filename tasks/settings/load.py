"""Gather the settings in force from all places where a user may set them, and report all mistakes at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.settings import groups, slips
from tasks.settings.groups import GROUPS, PREFIX
from tasks.settings.redact import HIDDEN, redacted, safe_name
from tasks.settings.schema import HostSettings, RunWideKeys, Settings, broken_relations, default_state_dir

__all__ = [
    "Configuration",
    "HostSettings",
    "Settings",
    "SettingsError",
    "Sources",
    "configure",
    "default_state_dir",
]

DEFAULT_FROM_FILE_NAME = "the default, from the inventory's file name"


class SettingsError(Exception):
    """An unusable inventory; `problems` has a line for each mistake: key, value, place, what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Sources:
    """All places of settings, as the user wrote them.

    `inventory` is the inventory's path as messages show it, and `top_level` its public names with their values.
    `groups` has the hosts of each group, `inline_group_data` the data of groups written as `(hosts, data)`.
    `group_data` has the content of each file in `group_data/`, by its name without `.py`, and `group_data_files`
    the file that sets a (group, key). `host_data` is each host's own data, `override` the values of `--data`.

    pyinfra also reads the files in `group_data/` that belong to `other_inventories` (file names without `.py`);
    this run ignores them. If these are unknown (None), a file whose name is no group of hosts counts as one.
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
        in_groups = [host for hosts in self.groups.values() for host in hosts]
        return list(dict.fromkeys([*in_groups, *self.host_data]))

    def group_data_file(self, group: str, key: str = "") -> str:
        """Return the file that sets `key` for a group, or else the one that should, as messages show it."""
        if file := self.group_data_files.get((group, key)):
            return safe_name(file)
        return safe_name(str(PurePosixPath(self.inventory).parent / "group_data" / f"{group}.py"))


@dataclass(frozen=True)
class Configuration:
    """The settings of a run, those of each host by its name, and who is in the groups `registry` and `backup_hosts`."""

    settings: Settings
    hosts: Mapping[str, HostSettings]
    registry_host: str
    backup_hosts: tuple[str, ...] = ()


def configure(sources: Sources) -> Configuration:
    """Return the settings in force; later places override: all.py, the inventory's file, host data, --data.

    Raises `SettingsError` with all mistakes in all places, including bad values that a later place overrides.
    """
    reader = _Reader(
        sources, groups.problems(sources.groups, sources.hosts, sources.stem, safe_name(sources.inventory))
    )
    reader.check_misplaced()
    by_host = reader.read()
    run_wide = reader.run_wide(by_host)
    if reader.problems:
        raise SettingsError(reader.problems)
    return Configuration(
        settings=Settings(**run_wide),
        hosts={
            host: HostSettings(**{key: values[key].value for key in HostSettings.model_fields})
            for host, values in by_host.items()
        },
        registry_host=sources.groups["registry"][0],
        backup_hosts=tuple(dict.fromkeys(sources.groups.get("backup_hosts", ()))),
    )


@dataclass(frozen=True)
class _PlacedValue:
    """A value, the place that sets it, and whether that is a host's own data."""

    value: Any
    place: str
    from_host_data: bool = False


@dataclass
class _Reader:
    """Reads the sources and collects problems; `bad` are the keys with a bad value in any place."""

    sources: Sources
    problems: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    def check_misplaced(self) -> None:
        sources, place = self.sources, safe_name(self.sources.inventory)
        reason = "settings are not read here, and no group of hosts may begin with registry_"
        for key, value in _registry_keys(sources.top_level).items():
            self._record_misplaced(key, value, place, reason)
        for group, hosts in _registry_keys(sources.groups).items():
            # pyinfra adds groups: one with the inventory's name, and one for each file of group data.
            added_by_pyinfra = group == sources.stem or (group in sources.group_data and not hosts)
            if group not in sources.top_level and not added_by_pyinfra:
                self._record_misplaced(group, list(hosts), place, reason)
        for group, data in sources.inline_group_data.items():
            for key, value in _registry_keys(data).items():
                self._record_misplaced(
                    key, value, f"{place}, group {safe_name(group)}", "settings are not read here"
                )
        for group, data in sources.group_data.items():
            if group in {"all", sources.stem} or self._belongs_to_another_inventory(group):
                continue
            for key, value in _registry_keys(data).items():
                self._record_misplaced(
                    key, value, sources.group_data_file(group, key), "settings are not read here"
                )

    def read(self) -> dict[str, dict[str, _PlacedValue]]:
        """Return the value of each key for each host, by the host's name and the key."""
        sources = self.sources
        common = {
            key: _PlacedValue(value, "the default")
            for model in (RunWideKeys(), HostSettings())
            for key, value in model
        }
        common["registry_state_dir"] = _PlacedValue(default_state_dir(sources.stem), DEFAULT_FROM_FILE_NAME)
        for group in dict.fromkeys(["all", sources.stem]):
            data = sources.group_data.get(group, {})
            places = {key: sources.group_data_file(group, key) for key in data}
            for place in dict.fromkeys(places.values()):
                common |= self._read({key: data[key] for key in data if places[key] == place}, place)
        own = {
            host: self._read(
                data, f"{safe_name(sources.inventory)}, host {safe_name(host)}", from_host_data=True
            )
            for host, data in sources.host_data.items()
        }
        override = self._read(sources.override, "--data")
        # An inventory without hosts is still checked.
        return {host: common | own.get(host, {}) | override for host in sources.hosts or [""]}

    def run_wide(self, by_host: Mapping[str, Mapping[str, _PlacedValue]]) -> dict[str, Any]:
        """Return the value of each run-wide key, and check that all hosts agree on it and the relations hold."""
        values: dict[str, _PlacedValue] = {}
        for key in RunWideKeys.model_fields:
            if key in self.bad:
                continue
            first = next((host for host in by_host if by_host[host][key].from_host_data), next(iter(by_host)))
            values[key] = by_host[first][key]
            for other in by_host:
                if by_host[other][key].value != values[key].value:
                    self._record_two_values(key, values.pop(key), other, by_host[other][key])
                    break
        for key, relation, other in broken_relations({key: each.value for key, each in values.items()}):
            limit, place = values[other].value, values[other].place
            shown = redacted(other, list(limit) if isinstance(limit, dict) else limit)
            self._record_problem(key, values[key], f"must be {relation} {other} = {shown} ({place})")
        if accounts := values.get("registry_accounts"):
            self._check_login_accounts(by_host, accounts)
        state_dir = values.get("registry_state_dir")
        if state_dir and state_dir.place == DEFAULT_FROM_FILE_NAME:
            self._check(RunWideKeys, {"registry_state_dir": state_dir.value}, DEFAULT_FROM_FILE_NAME)
        return {key: each.value for key, each in values.items()}

    def _check_login_accounts(
        self, by_host: Mapping[str, Mapping[str, _PlacedValue]], accounts: _PlacedValue
    ) -> None:
        """Check that the users of every host have accounts that exist; a mistake for several hosts is one line."""
        lines: dict[str, None] = {}
        for host in by_host.values():
            users = host["registry_login_users"]
            for user, account in users.value.items():
                if account is not None and account not in accounts.value:
                    subject = _subject("registry_login_users", [user], account)
                    shown = redacted("registry_accounts", list(accounts.value))
                    lines[
                        f"{subject} ({users.place}): must be one of registry_accounts = {shown} ({accounts.place})"
                    ] = None
        self.problems += lines

    def _belongs_to_another_inventory(self, group: str) -> bool:
        if self.sources.other_inventories is not None:
            return group in self.sources.other_inventories
        return group not in GROUPS and not self.sources.groups.get(group)

    def _read(
        self, data: Mapping[str, object], place: str, *, from_host_data: bool = False
    ) -> dict[str, _PlacedValue]:
        values = _registry_keys(data)
        if values.get("registry_state_dir", "") is None:  # the same as leaving it out
            del values["registry_state_dir"]
        for key in values:
            if key not in slips.KEYS:
                self.problems.append(f"{safe_name(key)} ({place}): unknown key; {self._suggestion(key)}")
        own_file = self.sources.group_data_file(self.sources.stem)
        for key in data:
            if key.startswith(PREFIX):
                continue
            if meant := slips.misspelt(key, in_own_file=place == own_file):
                self.problems.append(f"{safe_name(key)} ({place}): unknown key; did you mean {meant}?")
        good: dict[str, Any] = {}
        for model in (RunWideKeys, HostSettings):
            good |= self._check(
                model, {key: values[key] for key in values if key in model.model_fields}, place
            )
        return {key: _PlacedValue(value, place, from_host_data) for key, value in good.items()}

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
                f"must be {model.model_fields[key].description}"
            )
        return self._check(model, {key: values[key] for key in values if key not in self.bad}, place)

    def _record_misplaced(self, key: str, value: object, place: str, reason: str) -> None:
        if key not in slips.KEYS:
            self.problems.append(f"{safe_name(key)} ({place}): {reason}; {self._suggestion(key)}")
        else:
            file = self.sources.group_data_file(self.sources.stem)
            self._record_problem(key, _PlacedValue(value, place), f"{reason}; put it into {file}")

    def _record_two_values(self, key: str, one: _PlacedValue, host: str, other: _PlacedValue) -> None:
        file = self.sources.group_data_file(self.sources.stem)
        value = HIDDEN if isinstance(other.value, dict) else redacted(key, other.value)
        self._record_problem(
            key,
            one,
            f"must be the same for all hosts, and host {safe_name(host)} has {value} ({other.place}); "
            f"put it into {file}",
        )

    def _record_problem(self, key: str, found: _PlacedValue, problem: str) -> None:
        self.problems.append(f"{_subject(key, [], found.value)} ({found.place}): {problem}")

    def _suggestion(self, key: str) -> str:
        if meant := slips.meant_by(key):
            return f"did you mean {meant}?"
        return f"{self.sources.group_data_file('all')} lists all keys"


def _registry_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in data if isinstance(key, str) and key.startswith(PREFIX)}


def _subject(key: str, inner: Sequence[str], value: object) -> str:
    """Return `key = value`, or `key[item] = value` for an item in it."""
    if key not in {"registry_accounts", "registry_login_users"} or not (inner or isinstance(value, dict)):
        return f"{key}{''.join(f'[{safe_name(each)}]' for each in inner)} = {redacted(key, value)}"
    if not inner:
        return f"{key} = {HIDDEN}"
    account = f"{key}[{redacted(key, inner[0])}]"
    return account if inner[1:] == ["[key]"] else f"{account} = {HIDDEN}"
