"""What a run has to know of every host first, and what makes it leave a host alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.certificates.ca import BACKDATE
from tasks.remote.steps import Conflict

Rights = Literal["root", "sudo", "none"]
Engine = Literal["running", "stopped", "silent", "absent"]


@dataclass(frozen=True)
class Machine:
    """A host as it is reached: `ahead` is its clock against the controller's, in seconds.

    `family` are the names of its distribution and of those that it is like (os-release). `engine` is `silent`
    where something takes a request and gives no answer; `client` tells of a Docker client, which is no engine.
    `names` are the host's own, and its addresses.
    """

    rights: Rights
    ahead: float
    family: str
    engine: Engine
    client: bool
    names: frozenset[str] = frozenset()


def check(machine: Machine) -> None:
    """Raise `Conflict` where a host cannot be worked on at all."""
    if machine.rights == "none":
        raise Conflict(
            "neither root nor passwordless sudo",
            "log in as root, or allow it in /etc/sudoers.d (USER ALL=(ALL) NOPASSWD: ALL), and run again",
        )
    # A certificate is valid from an hour back; beyond that it would be refused as not yet valid.
    if abs(machine.ahead) >= BACKDATE.total_seconds():
        minutes = round(abs(machine.ahead) / 60)
        raise Conflict(
            f"its clock is {minutes // 60} h {minutes % 60} min {'ahead of' if machine.ahead > 0 else 'behind'} "
            "this machine's, so certificates would not be valid there",
            "set the clocks (timedatectl set-ntp true) and run again",
        )
