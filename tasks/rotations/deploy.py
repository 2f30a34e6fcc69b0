"""What had to wait until every host was served: the end of what is old, where something new is beside it."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.rotations import ca_rollover, former_passwords


@deploy("Rotations")
def finish() -> None:
    """Take from the registry host what no client needs any more."""
    if "registry" in host.groups:
        ca_rollover.finish(name="certificate authority")
        former_passwords.revoke(name="former passwords")
