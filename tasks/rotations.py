"""Rotations that wait for all hosts: what was begun at the registry host is ended there, after its clients."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.operations import rollover
from tasks.placement import as_root


@deploy("Rotations")
def finish() -> None:
    """End what every host is ready for."""
    if "registry" in host.groups:
        rollover.finish(name="certificate authority", **as_root())
