"""Whether a folder can take a backup: what its file system can do, and how much room it has."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup.check import size
from tasks.remote.steps import Conflict


@dataclass(frozen=True)
class Space:
    """Where a backup was begun: the name of its file system, and what that can do.

    `free` are its free bytes, `there` the bytes of blobs that need not be copied.
    """

    system: str
    links: bool
    owners: bool
    free: int
    there: int


def read_space(printed: str) -> Space:
    """Read what the script that begins a backup printed; `ValueError` with the cause if it failed."""
    lines = [line for line in printed.strip().splitlines() if line]
    if lines and lines[-1].startswith("failed: "):
        raise ValueError(lines[-1].removeprefix("failed: "))
    values = dict(line.split("|", 1) for line in lines)
    try:
        system, links, owners = values["system"].split("|")
        return Space(system, links == "yes", owners == "yes", int(values["free"]), int(values["there"]))
    except KeyError:
        raise ValueError("the answer was cut short") from None


def check_space(folder: str, space: Space, used: int) -> None:
    """Raise `Conflict` if a backup of so many bytes cannot be there, before any is copied."""
    if not space.owners:
        raise Conflict(
            f"{folder} is on a file system that keeps no owners ({space.system}): the registry host could change old "
            "backups there",
            "set registry_backup_host_folder to a folder on a disk with ext4, XFS or Btrfs, and run make backup again",
        )
    if (needed := used - space.there) > space.free:
        raise Conflict(
            f"{folder} has {size(space.free)} free, and this backup needs {size(needed)} more",
            "make room there, or keep fewer backups (registry_backup_keep), and run make backup again",
        )
