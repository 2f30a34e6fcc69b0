"""Which hosts a rotation waits for: nothing old is revoked before every host has what is new."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra.api.host import Host

from tasks.run.context import Run

CLIENTS = ("docker_hosts", "cluster_nodes", "cluster_control")
"""The groups of the registry's clients."""


def pending_hosts(
    run: Run, host: Host, concerned: Callable[[str, str], bool] = lambda name, group: True
) -> list[str]:
    """Return the names of the client hosts that this run has not finished.

    Hosts that could not be reached, or were left out by `--limit`, are among them; `registry_excused_hosts` are not.
    Only hosts that are `concerned` (by name and group) count. A plan takes every host it reached for finished.
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
    """Note that a host is finished as a member of `group`, and what `holds` there. A plan finishes no host."""
    if host.state.is_executing:
        run.finished.add((host.name, group))
        run.report.say(host.name, holds)


def client_hosts(host: Host) -> set[tuple[str, str]]:
    """Return all client hosts of the inventory, each with its group."""
    return {(each.name, group) for group in CLIENTS for each in host.inventory.groups.get(group, ())}
