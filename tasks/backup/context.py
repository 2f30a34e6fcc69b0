"""What a run knows of a backup while it is made, or put back."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from tasks.backup.facts import BackupHost, SourceHost
from tasks.backup.generations import Backup
from tasks.backup.layout import SNAPSHOT, STAGING
from tasks.backup.selection import Origin, Selection
from tasks.backup.space import Space
from tasks.registry.containers import UID
from tasks.run.context import Run
from tasks.settings.load import Settings
from tasks.storage.stored import Stored


@dataclass
class BackupContext:
    """What a backup knows, in the order of the operations that fill it in.

    `key` is the public key of the registry host's; `hosts` are those that are ready; `spaces` has each folder's space
    for the backup that was begun there, by target. `name` is when the snapshot was begun and `stored` what is in it.
    `sent` has the targets that got all of it, with the bytes that moved; `good` those whose backup was looked at and
    kept. `refused` are the registry host's own folder and program if they cannot be used.
    """

    source: SourceHost | None = None
    key: str = ""
    hosts: dict[str, BackupHost] = field(default_factory=dict)
    spaces: dict[str, Space] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    name: str = ""
    stored: Stored = field(default_factory=lambda: Stored(0, exists=False))
    has_state: bool = False
    sent: dict[str, int] = field(default_factory=dict)
    good: dict[str, Backup] = field(default_factory=dict)

    @property
    def found(self) -> SourceHost:
        """The registry host; `LookupError` if it was not read."""
        if self.source is None:
            raise LookupError("the registry host was not read")
        return self.source

    @property
    def storage_id(self) -> str:
        """The id in the mark of the images' folder."""
        return (self.found.record and self.found.record.id) or self.found.place.mark or ""

    def keep_key(self, printed: str) -> None:
        """Keep the public key that was made; `ValueError` if it is none."""
        if not printed.startswith("ssh-ed25519 "):
            raise ValueError("ssh-keygen printed no key")
        self.key = printed.strip()


@dataclass
class RestoreContext:
    """What a restore knows, in the order of the operations that fill it in.

    `folder` is where the backup is on the registry host, `owner` whose the images are, `live` what is there before.
    `damaged` are the digests of blobs of the backup whose data is something else, `rotten` those of the registry.
    """

    hosts: dict[str, BackupHost] = field(default_factory=dict)
    origin: Origin | None = None
    stored: Stored = field(default_factory=lambda: Stored(0, exists=False))
    selection: Selection = field(default_factory=lambda: Selection((), (), (), ()))
    live: Stored = field(default_factory=lambda: Stored(0, exists=False))
    damaged: list[str] = field(default_factory=list)
    rotten: list[str] = field(default_factory=list)
    owner: str = f"{UID}:{UID}"

    def folder(self, settings: Settings) -> str:
        """Return where the backup is, or is brought to, on the registry host; `LookupError` if none was chosen."""
        if self.origin is None:
            raise LookupError("no backup was chosen")
        return f"{settings.registry_storage_path}/{STAGING}" if self.origin.host else self.origin.folder


def snapshot_path(run: Run) -> str:
    """Return where the snapshot is on the registry host."""
    return f"{run.configuration.settings.registry_storage_path}/{SNAPSHOT}"


def now() -> dt.datetime:
    """Return the time by the controller's clock."""
    return dt.datetime.now(dt.UTC)


def refuse(run: Run, target: str, said: str) -> None:
    """Note that a target gets no backup: what its script (`scripts.attempt`) said. It keeps no other from its own."""
    said = said.removeprefix("failed: ")
    run.report.problem(
        run.configuration.registry_host,
        f"could not back up to {target}: {said or 'it printed no error'}",
        "fix that and run make backup again",
    )


def backup_folder(run: Run, name: str) -> str:
    """Return the folder for backups of a host that keeps them."""
    return run.configuration.hosts[name].registry_backup_host_folder
