"""What in containerd's configuration keeps a node from pulling with it, or excludes a `config_path`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.cluster_nodes.runtimes.containerd_config import CRI_1, CRI_2, IMAGES, InForce, Loaded
from tasks.remote import toml_edit
from tasks.remote.steps import Conflict

DISABLING = frozenset({CRI_1, CRI_2, IMAGES, "io.containerd.cri.v1.runtime"})


def disabled(files: Sequence[Loaded]) -> str | None:
    """Return where the CRI is switched off, None if it is on. The lists of all files add up."""
    for file in files:
        if found := DISABLING.intersection(map(str, toml_edit.values_at(file.says, "disabled_plugins"))):
            return f'{file.line("disabled_plugins")}: disabled_plugins has "{sorted(found)[0]}"'
    return None


def check_inline(files: Sequence[Loaded], version: tuple[int, int], configured: InForce) -> None:
    """Raise `Conflict` if registries are configured inline, which a `config_path` excludes (containerd#5304).

    With one, 1.x has no CRI if there is a table `tls`, were it an empty one, and 2.x does not read what is in it.
    """
    there = bool(configured.value)
    for file in files:
        for name in file.names:
            registry = file.registry(name)
            inline = "mirrors" if registry.get("mirrors") else "configs"
            tables = registry.get("configs") if inline == "configs" else None
            tls = [each["tls"] for each in _tables(tables) if "tls" in each]
            if inline == "configs" and not (tls if version < (2, 0) else any(tls) and not there):
                continue
            unread = inline == "configs" and version >= (2, 0)
            raise Conflict(
                f"{file.line('plugins', name, 'registry', inline)} has inline registry {inline}, "
                + (
                    "which containerd does not read "
                    if unread
                    else "beside which containerd's CRI does not start "
                )
                + f"with a config_path{f', and there is one ({configured.place})' if there else ''}",
                "move them into hosts.toml files (containerd's docs/hosts.md) and run again",
            )


def _tables(value: Any) -> list[dict[str, Any]]:
    return [each for each in value.values() if isinstance(each, dict)] if isinstance(value, dict) else []
