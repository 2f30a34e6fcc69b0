"""The owner of each container, volume and network of the bench, and the removal of those whose owner is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import docker
from docker.errors import APIError

LABEL = "homelab-bench"


def this_process() -> str:
    """Return the label's value for what must not outlive this process."""
    return _owner(os.getpid())


def this_machine() -> str:
    """Return the label's value for what stays until it is removed by hand, or the machine reboots."""
    return _owner(1)


def is_alive(owner: str) -> bool:
    """Return whether the owner in a label still runs; values that the bench did not write count as alive."""
    pid, _, started = owner.partition("-")
    return not (pid.isdigit() and started) or _start_time(int(pid)) == started


def remove_leftovers() -> list[str]:
    """Remove the hosts, volumes and networks of runs whose process is gone; return their names."""
    return remove_owned_by(lambda owner: not is_alive(owner))


def remove_owned_by(chosen: Callable[[str], bool]) -> list[str]:
    """Remove only what has our label with a chosen owner; return the names."""
    client = docker.from_env()
    ours = {"label": LABEL}
    gone = []
    for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
        if chosen(container.labels[LABEL]) and _try_remove(partial(container.remove, force=True, v=True)):
            gone.append(str(container.name))
    for volume in client.volumes.list(filters=ours):
        if chosen(volume.attrs["Labels"][LABEL]) and _try_remove(volume.remove):
            gone.append(str(volume.name))
    for network in client.networks.list(filters=ours):
        if chosen(network.attrs["Labels"][LABEL]) and _try_remove(network.remove):
            gone.append(str(network.name))
    return gone


def _try_remove(remove: Callable[[], object]) -> bool:
    """Try to remove; return False if another run removes the same object or still uses it."""
    try:
        remove()
    except APIError as error:
        if error.status_code in {403, 404, 409}:
            return False
        raise
    return True


def _owner(pid: int) -> str:
    return f"{pid}-{_start_time(pid)}"


def _start_time(pid: int) -> str | None:
    """Return when a process started, in kernel ticks, so that a reused process ID is not taken for the old process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None
