"""Finish rotations: revoke old passwords and retire the old CA once every host is updated."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.rotations import ca_rollover, former_passwords


@deploy("Rotations")
def finish() -> None:
    """Remove from the registry host what no client needs any more."""
    if "registry" in host.groups:
        ca_rollover.finish(name="certificate authority")
        former_passwords.revoke(name="former passwords")
