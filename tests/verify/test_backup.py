"""The last good backup is young enough, and is where it was made."""

from __future__ import annotations

import datetime as dt

from tasks.backup import age
from tasks.backup.generations import MARK
from tasks.settings.load import Settings
from tests.verify.backend import Host
from tests.verify.deployment import Deployment


def test_the_last_good_backup_is_young_enough(deployment: Deployment, settings: Settings) -> None:
    last = age.read_last(deployment.store.read_backups())
    problem = age.problem(
        age.targets(deployment.configuration), last, settings.registry_backup_days, dt.datetime.now(dt.UTC)
    )
    assert problem is None, f"{problem}; run make backup, and make timer for one with each of its runs"


def check_backup(deployment: Deployment, host: Host, target: str, folder: str) -> None:
    """Assert that the last good backup of a target is in its folder; that there is one, another test says."""
    if last := age.read_last(deployment.store.read_backups()).get(target):
        done = host.run("cat -- %s", f"{folder}/{last.name}/{MARK}")
        assert done.rc == 0, (
            f"{host.name}: the backup {folder}/{last.name} is not there any more; run make backup"
        )


def test_a_host_has_the_last_backup(deployment: Deployment, backup_host: Host) -> None:
    folder = deployment.of(backup_host.name).registry_backup_host_folder
    check_backup(deployment, backup_host, backup_host.name, folder)


def test_the_folder_has_the_last_backup(deployment: Deployment, registry: Host, settings: Settings) -> None:
    if folder := settings.registry_backup_folder:
        check_backup(deployment, registry, folder, folder)
