"""An inventory file as pyinfra reads it, and as the settings see it: each value with the place it stands at."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pyinfra.api import connectors
from pyinfra.api import inventory as of_pyinfra
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.inventory import make_inventory

from tasks.settings.load import Sources


def load(
    path: str, override: Mapping[str, object], group_data: Iterable[str] = ()
) -> tuple[Inventory, Sources]:
    """Read an inventory file, with `--data` and `--group-data` as given.

    Raises `ValueError`, a line with the file and what is wrong, where it is none or cannot be run.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is not an inventory file; give one, for example inventories/local.py")
    if not ctx_state.isset():
        ctx_state.set(State())
    # pyinfra looks for them twice for each host with an `@`, in the metadata of all packages that are installed.
    connectors.get_all_connectors = of_pyinfra.get_all_connectors = cache(connectors.get_all_connectors)
    try:
        names = runpy.run_path(path)
        inventory = make_inventory(
            path, override_data=dict(override), cwd=str(Path.cwd()), group_data_directories=list(group_data)
        )
    except Exception as error:
        raise ValueError(f"{path} or its group data cannot be run: {_where(error)}") from None
    sources = _sources(path, names, inventory, override)
    return inventory, replace(sources, group_data_files=_files(path, list(group_data)))


def _sources(
    path: str, names: dict[str, object], inventory: Inventory, override: Mapping[str, object]
) -> Sources:
    own = {name: value for name, value in names.items() if not name.startswith("_")}
    inline = {
        name: value[1]
        for name, value in own.items()
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict)
    }
    files = {**inventory.group_data, "all": inventory.get_data()}
    return Sources(
        inventory=path,
        top_level=own,
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


def _files(path: str, group_data: list[str]) -> dict[tuple[str, str], str]:
    """Return the file in which each key of a group is set: of those that pyinfra reads, the last one."""
    folders = [Path("group_data"), Path(path).parent / "group_data", *map(Path, group_data)]
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return {(file.stem, key): str(file) for file in files for key in runpy.run_path(str(file))}


def _where(error: Exception) -> str:
    inner = getattr(error, "exception", error)  # pyinfra wraps what a file raises
    line = getattr(inner, "lineno", None)
    if line is None and (trace := inner.__traceback__):
        while trace.tb_next:
            trace = trace.tb_next
        line = trace.tb_lineno
    # A name that is not defined may be a password without its quotes.
    text = "" if isinstance(inner, NameError) else f": {(str(inner).splitlines() or [''])[0]}"
    return f"{type(inner).__name__} in line {line}{text}"
