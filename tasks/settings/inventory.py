"""Read an inventory file: once as pyinfra's inventory, once as the sources of the settings."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pyinfra.api import connectors
from pyinfra.api import inventory as pyinfra_inventory
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.inventory import make_inventory

from tasks.settings.load import Configuration, SettingsError, Sources, configure


def load(
    path: str, override: Mapping[str, object], group_data: Iterable[str] = ()
) -> tuple[Inventory, Sources]:
    """Read an inventory file, with the values of `--data` and the folders of `--group-data`.

    Raises `ValueError` if there is no such file or it cannot be run; the message is one line with file and reason.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is not an inventory file; give one, for example inventories/local.py")
    if not ctx_state.isset():
        ctx_state.set(State())
    # For each host with an `@`, pyinfra looks twice for connectors in the metadata of all installed packages.
    connectors.get_all_connectors = pyinfra_inventory.get_all_connectors = cache(
        connectors.get_all_connectors
    )
    try:
        top_level = runpy.run_path(path)
        inventory = make_inventory(
            path, override_data=dict(override), cwd=str(Path.cwd()), group_data_directories=list(group_data)
        )
    except Exception as error:
        raise ValueError(f"{path} or its group data cannot be run: {_describe(error)}") from None
    sources = _sources(path, top_level, inventory, override)
    return inventory, replace(sources, group_data_files=_group_data_files(path, list(group_data)))


def read(path: str) -> tuple[Inventory, Configuration]:
    """Read an inventory file and the settings in force, outside of a run; `SettingsError` with all mistakes."""
    try:
        inventory, sources = load(path, {})
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    return inventory, configure(sources)


def _sources(
    path: str, top_level: dict[str, object], inventory: Inventory, override: Mapping[str, object]
) -> Sources:
    public = {name: value for name, value in top_level.items() if not name.startswith("_")}
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
            group: {key: value for key, value in data.items() if inline.get(group, {}).get(key) != value}
            for group, data in files.items()
        },
        host_data={host.name: dict(inventory.get_host_data(host.name)) for host in inventory},
        override=override,
        other_inventories=[file.stem for file in Path(path).parent.glob("*.py") if file != Path(path)],
    )


def _group_data_files(path: str, group_data: list[str]) -> dict[tuple[str, str], str]:
    """Return by group and key the file that sets it: the last one of those that pyinfra reads."""
    folders = [Path("group_data"), Path(path).parent / "group_data", *map(Path, group_data)]
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return {(file.stem, key): str(file) for file in files for key in runpy.run_path(str(file))}


def _describe(error: Exception) -> str:
    inner = getattr(error, "exception", error)  # pyinfra wraps what a file raises
    line = getattr(inner, "lineno", None)
    if line is None and (trace := inner.__traceback__):
        while trace.tb_next:
            trace = trace.tb_next
        line = trace.tb_lineno
    # An undefined name may be a password without its quotes.
    text = "" if isinstance(inner, NameError) else f": {(str(inner).splitlines() or [''])[0]}"
    return f"{type(inner).__name__} in line {line}{text}"
