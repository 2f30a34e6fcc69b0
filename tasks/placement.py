"""How operations reach root on a host: what its rights were found to be, and nothing a user has to set."""

from __future__ import annotations

from typing import TypedDict

from pyinfra import host

from tasks.run.context import current


class AsRoot(TypedDict):
    """pyinfra's argument for an operation that runs as root."""

    _sudo: bool


def as_root() -> AsRoot:
    """Return whether this host needs sudo."""
    return {"_sudo": current().machines[host.name].rights == "sudo"}
