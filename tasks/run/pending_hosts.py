"""Whom a rotation waits for: what is old is taken from nobody before every host was read, and has what is new."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra.api.host import Host

from tasks.run.context import Run

CLIENTS = ("docker_hosts", "cluster_nodes", "cluster_control")
"""The groups whose hosts are told of the registry."""


def pending_hosts(
    run: Run, host: Host, concerned: Callable[[str, str], bool] = lambda name, group: True
) -> list[str]:
    """Return the hosts of the inventory that this run has not finished, by name.

    A host that could not be reached, or was left out by `--limit`, is one; those that are excused are none. Asked is
    for those that are `concerned` (by name and group). A plan takes it that all will go well where it can be reached.
    """
    excused = run.configuration.settings.registry_excused_hosts
    reached = {each.name for each in host.state.active_hosts}
    waiting = {
        each
        for each, group in client_hosts(host)
        if each not in excused and concerned(each, group)
        if ((each, group) not in run.finished if host.state.is_executing else each not in reached)
    }
    return sorted(waiting)


def mark_finished(run: Run, host: Host, group: str, holds: str) -> None:
    """Note that a host is as it should be as one of `group`, and what `holds` there. A plan finishes none."""
    if host.state.is_executing:
        run.finished.add((host.name, group))
        run.report.say(host.name, holds)


def client_hosts(host: Host) -> set[tuple[str, str]]:
    """Return the hosts of the inventory that are told of the registry, each with its group."""
    return {(each.name, group) for group in CLIENTS for each in host.inventory.groups.get(group, ())}
