"""Finish rotations: revoke old passwords and retire the old CA once every host is updated."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.rotations import ca_rollover, expiry, former_passwords
from tasks.run.context import current


@deploy("Rotations")
def finish() -> None:
    """Remove from the registry host what no client needs any more."""
    if "registry" in host.groups:
        ca_rollover.finish(name="certificate authority")
        former_passwords.revoke(name="former passwords")
        if current().by_timer:
            expiry.check(name="how long CA and certificate are good")
