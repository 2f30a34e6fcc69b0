"""Disks of a host: files with a file system, which are mounted and unmounted as real disks are."""

from __future__ import annotations

from tests.bench.hosts import BenchHost

LOOPS = (
    "[ -e /dev/loop-control ] || { mknod /dev/loop-control c 10 237 "
    "&& for n in 0 1 2 3 4 5 6 7; do mknod /dev/loop$n b 7 $n; done; }"
)
"""A host in a container has no loop devices of its own; these are the kernel's, and `mount` takes one that is free."""


def make_disk(host: BenchHost, path: str, options: str = "") -> None:
    """Make a disk of 16 MB with ext4 in a file of the host, with options of mkfs."""
    host.run(f"{LOOPS}; truncate -s 16M {path} && mkfs.ext4 -q -F {options} {path}")


def mount_disk(host: BenchHost, path: str, folder: str, options: str = "defaults") -> None:
    """Mount such a disk."""
    host.run(f"mkdir -p {folder} && mount -o loop,{options} {path} {folder}")
