"""How operations reach root on a host: what its rights were found to be, and nothing a user has to set."""

from __future__ import annotations

from typing import TypedDict

from pyinfra import host

from tasks.run import current


class AsRoot(TypedDict):
    """pyinfra's argument for an operation that runs as root."""

    _sudo: bool


def as_root() -> AsRoot:
    """Return whether this host needs sudo."""
    return {"_sudo": current().machines[host.name].rights == "sudo"}


def meets(group: str) -> bool:
    """Tell whether this host meets an operation for the hosts of a group: they do, and the registry host does.

    pyinfra puts operations into an order by that in which each single host meets them (`State.get_op_order`). What
    no host meets after the registry's own operations would be carried out before they are done.
    """
    return bool({group, "registry"} & set(host.groups))
