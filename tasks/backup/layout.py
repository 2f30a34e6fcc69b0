"""Where things for backups are: on the registry host, on hosts that keep backups, and in their folders."""

from __future__ import annotations

from tasks.registry.desired import FOLDER

KEYS = f"{FOLDER}/backup"
KEY, KNOWN_HOSTS, LOCK = f"{KEYS}/id_ed25519", f"{KEYS}/known_hosts", f"{KEYS}/lock"
"""On the registry host: the SSH key that is for backups alone, the host keys of hosts that keep them, and a lock."""

SNAPSHOT = ".homelab-registry-snapshot"
"""A copy of the images beside them, while a backup is made. Not `.snapshot`: NAS have folders of that name."""

STAGING = ".homelab-registry-restore"
"""A backup beside the images, while it is put back."""

USER, HOME = "homelab-registry-backup", "/etc/homelab-registry-backup"
"""The user of a host that keeps backups, and its home, which is root's, so that it cannot let itself in otherwise."""

PARTIAL = "partial"
"""A backup that is not complete. The next one goes on with it. On a host, only this can be written to from outside."""

ARRIVED = ".arrived"
"""Ends the name of a backup that came completely, and cannot be written to from outside any more, before it is kept."""

BEGUN = ".homelab-registry-backups"
"""A file in a folder that keeps backups: without one, and without a backup, its disk may not be mounted."""

STATE = "state.tar.age"
"""The state and the inventory in a backup, encrypted."""
