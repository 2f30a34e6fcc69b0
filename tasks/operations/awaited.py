"""Whom a rotation waits for: what is old is taken from nobody before every host was read, and has what is new."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api.host import Host

from tasks.run import Run

CLIENTS = ("docker_hosts", "cluster_nodes", "cluster_control")
"""The groups whose hosts are told of the registry."""


def awaited(run: Run, host: Host, groups: Iterable[str] = CLIENTS) -> list[str]:
    """Return the hosts of the inventory in `groups` that this run has not finished, by name.

    A host that could not be reached, or was left out by `--limit`, is one; those that are excused are none. A plan
    takes it that all will go well.
    """
    if not host.state.is_executing:
        return []
    excused = run.configuration.settings.registry_excused_hosts
    listed = {(each.name, group) for group in groups for each in host.inventory.groups.get(group, ())}
    return sorted({name for name, _ in listed - run.finished if name not in excused})
