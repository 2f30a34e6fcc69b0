"""Every host: may we change it, does its clock agree, is an engine there. One look, before anything else."""

from __future__ import annotations

from pyinfra import host

from tasks.operations import machines


def look() -> bool:
    """Look at this host; false where it cannot be worked on, and its run is over."""
    return machines.look(host)
