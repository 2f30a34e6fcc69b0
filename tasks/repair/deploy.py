"""Repair what is damaged on the registry host, from backups as far as they have it."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.backup import keep
from tasks.repair import operations
from tasks.run.context import current


@deploy("Repair")
def repair() -> None:
    """Find what is damaged, and put it right."""
    is_source, keeps = "registry" in host.groups, "backup_hosts" in host.groups
    if is_source:
        operations.look(name="what is damaged")
        current().settled[host.name].set()
    if keeps:
        operations.offer(name="what backups have of it")
        current().settled[host.name].set()
    if is_source:
        operations.put_right(name="put it right")
    if keeps:
        operations.close(name="let backups be read no longer")
    if is_source:
        operations.prove(name="look again")
        keep.fail_if_not_everywhere(name="problems")
