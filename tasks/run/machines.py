"""What a run has to know of every host first: may we change it, what time is it there, has it a Docker Engine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase

from tasks.certificates.ca import BACKDATE
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
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


@fail_host_on_bad_output
class MachineFact(FactBase[Machine | None]):
    """One round trip without sudo: the script itself finds out whether it may use it.

    sudo's own complaint is swallowed, since pyinfra would ask for a password when it reads it.
    """

    def command(self) -> str:
        """Return the script."""
        return script(
            """
as=; rights=root
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true >/dev/null 2>&1; then as='sudo -n'; rights=sudo; else rights=none; fi
fi
echo "rights|$rights"
echo "time|$(date +%s.%N)"
echo "family|$( . /etc/os-release 2>/dev/null; echo "$ID $ID_LIKE")"
addresses=$(ip -o address show scope global 2>/dev/null | sed -n 's/.* inet6\\{0,1\\} \\([^/ ]*\\).*/\\1/p')
echo "names|$(uname -n)" $addresses
engine=absent
if command -v docker >/dev/null; then echo 'client|yes'; fi
# Its unit is active as soon as it answers (Type=notify). Asking the engine itself takes ten times as long.
if [ "$rights" != none ] && $as systemctl -q is-active docker.service 2>/dev/null; then
    engine=running
elif [ "$rights" != none ]; then
    $as timeout 20 docker -H unix:///var/run/docker.sock version >/dev/null 2>&1
    case $? in
        (0) engine=running ;;
        (124) engine=silent ;;
        (*) if command -v dockerd >/dev/null; then engine=stopped; fi ;;
    esac
fi
echo "engine|$engine"
"""
        )

    def process(self, output: list[str]) -> Machine:
        """Read the answer; `FactProcessError` where it is not whole."""
        answer = read_answer(output)
        return Machine(
            rights=answer.one("rights"),  # type: ignore[arg-type]  # the script prints nothing else
            ahead=float(answer.one("time") or 0) - time.time(),
            family=answer.one("family") or "",
            engine=answer.one("engine"),  # type: ignore[arg-type]
            client=answer.one("client") is not None,
            names=frozenset((answer.one("names") or "").split()),
        )
