"""Read an inventory file: once as pyinfra's inventory, once as the sources of the settings."""

from __future__ import annotations

import os
import runpy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from pyinfra.api import connectors
from pyinfra.api import inventory as pyinfra_inventory
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli import inventory as pyinfra_files

from tasks.settings import connection_data, inventory_file, python_file
from tasks.settings.load import Configuration, SettingsError, Sources, configure


def load(
    path: str, override: Mapping[str, object], group_data: Sequence[str] = ()
) -> tuple[Inventory, Sources]:
    """Read an inventory file, with the values of `--data` and the folders of `--group-data`.

    Raises `ValueError` if there is no such file, it cannot be run, or pyinfra cannot make hosts of it; the message has
    a line with the place and the reason for each mistake.
    """
    if not ctx_state.isset():
        ctx_state.set(State())
    # For each host with an `@`, pyinfra looks twice for connectors in the metadata of all installed packages.
    connectors.get_all_connectors = pyinfra_inventory.get_all_connectors = cache(
        connectors.get_all_connectors
    )
    top_level = inventory_file.read(path)
    _skip_group_data(set(_other_inventories(path)) - {"all", *top_level})
    for file in _group_data_paths(path, group_data):
        python_file.check(str(file))
    try:
        inventory = pyinfra_files.make_inventory(
            path, override_data=dict(override), cwd=str(Path.cwd()), group_data_directories=list(group_data)
        )
    except (Exception, SystemExit) as error:
        raise ValueError(python_file.describe(error, path)) from None
    if problems := connection_data.find_problems(inventory, path):
        raise ValueError("\n".join(problems))
    sources = _sources(path, top_level, inventory, override)
    return inventory, replace(sources, group_data_files=_group_data_files(path, group_data))


def read(path: str) -> tuple[Inventory, Configuration]:
    """Read an inventory file and the settings in force, outside of a run; `SettingsError` with all mistakes."""
    try:
        inventory, sources = load(path, {})
    except ValueError as error:
        raise SettingsError(str(error).splitlines()) from None
    return inventory, configure(sources)


def _other_inventories(path: str) -> list[str]:
    """Return the names, without `.py`, of the other inventories in the same folder."""
    return [file.stem for file in Path(path).parent.glob("*.py") if file != Path(path)]


def _skip_group_data(inventories: Collection[str]) -> None:
    """Keep pyinfra from running the group data of other inventories, since a mistake there is none of this one.

    It runs every file that it lists in `group_data` (pyinfra_cli/inventory.py, `_get_group_data`).
    """
    pyinfra_files.listdir = lambda folder: [
        name for name in os.listdir(folder) if name.removesuffix(".py") not in inventories
    ]


def _sources(
    path: str, public: dict[str, object], inventory: Inventory, override: Mapping[str, object]
) -> Sources:
    inline = {
        name: value[1]
        for name, value in public.items()
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict)
    }
    files = {**inventory.group_data, "all": inventory.get_data()}
    return Sources(
        inventory=path,
        top_level=public,
        groups={group: [host.name for host in hosts] for group, hosts in inventory.groups.items()},
        inline_group_data=inline,
        group_data={
            group: {
                key: value
                for key, value in data.items()
                if key not in inline.get(group, {}) or inline[group][key] != value
            }
            for group, data in files.items()
        },
        host_data={host.name: dict(inventory.get_host_data(host.name)) for host in inventory},
        override=override,
        other_inventories=_other_inventories(path),
    )


def _group_data_files(path: str, group_data: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return by group and key the file that sets it: the last one of those that pyinfra reads."""
    files = _group_data_paths(path, group_data)
    return {(file.stem, key): str(file) for file in files for key in runpy.run_path(str(file))}


def _group_data_paths(path: str, group_data: Sequence[str]) -> list[Path]:
    folders = [Path("group_data"), Path(path).parent / "group_data", *map(Path, group_data)]
    names = [
        (folder, name) for folder in folders if folder.is_dir() for name in pyinfra_files.listdir(folder)
    ]
    return [folder / name for folder, name in names if name.endswith(".py")]
