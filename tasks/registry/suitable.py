"""Whether the registry host can keep files for the containers: its engine, its labels, its file systems."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.registry.storage import Place
from tasks.remote.fact_scripts import Answer
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.run.report import remedy_for

KEEPS_OWNERS = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)
"""File systems on which root can give a folder away. Any other is tried: NFS may map root to nobody (exports(5))."""

FAT = frozenset({"exfat", "msdos", "vfat"})
"""File systems without owners: all files have the one of the mount's options (mount(8))."""

WRITABLE = frozenset({"container_file_t", "svirt_sandbox_file_t"})
"""SELinux types that containers may write to (container_selinux(8))."""


@dataclass(frozen=True)
class Confinement:
    """`snap` if Docker's snap answers. `labels` has the SELinux type of our folders if the engine confines by them."""

    snap: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def look(folders: list[str]) -> str:
    """Return the script that looks at the engine, and at the labels of these folders or of what they will be in.

    It comes after the script of `storage.look`, whose functions it calls.
    """
    return f"""
if [ -d /var/snap/docker/current ] && ! systemctl -q is-active docker.service 2>/dev/null; then echo 'snap|yes'; fi
if [ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ] &&
    timeout 20 docker info -f '{{{{.SecurityOptions}}}}' 2>/dev/null | grep -q name=selinux; then
    for path in {shlex.join(folders)}; do
        existing_part "$path"
        echo "label|$path|$(stat -c %C "$place" | cut -d : -f 3)"
    done
fi
"""


def read_confinement(answer: Answer) -> Confinement:
    """Return what the host reports."""
    return Confinement(answer.one("snap") is not None, dict(answer.all("label")))


def check(engine: Confinement) -> None:
    """Raise `Conflict` if the containers could not use our folders."""
    if engine.snap:
        raise Conflict(
            "Docker Engine is the snap here, which may not use /etc/homelab-registry (docker-snap#188)",
            "put Docker's or the distribution's package in its place (snap remove docker), or the registry on another "
            "host, and run again",
        )
    closed = [path for path, label in engine.labels.items() if label not in WRITABLE]
    if closed:
        commands = " && ".join(
            f"mkdir -p {path} && semanage fcontext -a -t container_file_t '{path}(/.*)?' && restorecon -R {path}"
            for path in closed
        )
        raise Conflict(
            f"SELinux does not let containers use {' and '.join(closed)}",
            f"label them, on that host: {commands}; and run again",
        )


def trial(path: str, place: Place, observed: Observed | None, user: int) -> list[Step]:
    """Return the step that tries whether the images' folder can be given to `user`, if that is due and not certain.

    `Conflict` if it is certain that it cannot.
    """
    mount = place.mount
    due = observed is None or (observed.owner, observed.group, int(observed.mode, 8)) != (user, user, 0o700)
    if mount is None or mount.kind in KEEPS_OWNERS or not due:
        return []
    complaint = f"{mount.kind} at {mount.target} keeps no owners of files"
    if mount.kind in FAT:
        raise Conflict(complaint, remedy_for(complaint))
    script = (
        f"place={shlex.quote(path)}\n"
        'while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done\n'
        'tried=$(mktemp -d "$place/.homelab-registry.XXXXXX") || exit 1\n'
        f'chown {user}:{user} "$tried" 2>/dev/null && [ "$(stat -c %u:%g "$tried")" = {user}:{user} ]\n'
        'kept=$?; rmdir "$tried"\n'
        f"[ $kept -eq 0 ] || {{ echo {shlex.quote(complaint)} >&2; exit 1; }}"
    )
    return [Step(f"try whether {path} can be given to the registry: it is on {mount.kind}", script)]
