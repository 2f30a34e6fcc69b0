"""Make a backup: the hosts are made ready, a snapshot is taken, copied, and each copy is looked at before it counts."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.backup import age, keep, operations, put_back, restore
from tasks.run.context import current


@deploy("Backup")
def save() -> None:
    """Back up the images to everything that is set up for it."""
    is_source, keeps = "registry" in host.groups, "backup_hosts" in host.groups
    if is_source:
        operations.prepare_source(name="what the registry host needs")
        current().settled[host.name].set()
    if keeps:
        operations.prepare_host(name="what a host that keeps backups needs")
    if is_source:
        operations.take_snapshot(name="snapshot")
        operations.send(name="copies")
        keep.take_own(name="take what came")
    if keeps:
        keep.take_on_host(name="take what came")
        keep.keep_on_host(name="keep it")
    if is_source:
        keep.finish(name="note what is good")
        keep.fail_if_not_everywhere(name="problems of targets")


def save_by_timer() -> None:
    """Back up the images if the timer runs this, and anything is set up for it."""
    if current().by_timer and age.targets(current().configuration):
        save()


@deploy("Restore")
def bring_back() -> None:
    """Put a backup's images back."""
    is_source, keeps = "registry" in host.groups, "backup_hosts" in host.groups
    elsewhere = not (current().configuration.settings.registry_restore or "").startswith("/")
    if is_source:
        restore.prepare(name="what the registry host needs")
        current().settled[host.name].set()
    if keeps and elsewhere:
        restore.look(name="which backups there are")
    if is_source:
        restore.choose(name="the backup")
    if keeps and elsewhere:
        restore.offer(name="let the backup be read")
    if is_source:
        restore.inspect(name="what is here already")
        restore.bring(name="bring the backup")
        put_back.place(name="put it back")
        put_back.prove(name="look at each tag")
        keep.fail_if_not_everywhere(name="problems")
    if keeps and elsewhere:
        restore.close(name="let it be read no longer")
