"""What a run must know of every host first: whether it has root there, its clock, its Docker Engine."""

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
    """A host as it is reached.

    `ahead` is how many seconds its clock is ahead of the controller's. `family` holds the names of its distribution
    and of those that it is like (`ID` and `ID_LIKE` of os-release(5)). `engine` is `silent` if it accepts a request and
    never answers; `client` says whether the `docker` command is there. `names` are the host's name and addresses.
    """

    rights: Rights
    ahead: float
    family: str
    engine: Engine
    client: bool
    names: frozenset[str] = frozenset()


def check(machine: Machine) -> None:
    """Raise `Conflict` if nothing can be done on a host."""
    if machine.rights == "none":
        raise Conflict(
            "neither root nor passwordless sudo",
            "log in as root, or allow it in /etc/sudoers.d (USER ALL=(ALL) NOPASSWD: ALL), and run again",
        )
    # Certificates are valid from one hour before they are made: a clock further behind refuses them.
    if abs(machine.ahead) >= BACKDATE.total_seconds():
        minutes = round(abs(machine.ahead) / 60)
        raise Conflict(
            f"its clock is {minutes // 60} h {minutes % 60} min {'ahead of' if machine.ahead > 0 else 'behind'} "
            "this machine's, so certificates would not be valid there",
            "set the clocks (timedatectl set-ntp true) and run again",
        )


@fail_host_on_bad_output
class MachineFact(FactBase[Machine | None]):
    """One round trip without sudo: the script itself finds out whether sudo works.

    sudo's own error is discarded, because pyinfra asks for a password when it sees it.
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
# The unit is active as soon as the engine answers (Type=notify), and systemctl takes a tenth of docker's time.
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
        """Read the answer; `FactProcessError` if it is incomplete."""
        answer = read_answer(output)
        return Machine(
            rights=answer.one("rights"),  # type: ignore[arg-type]  # the script prints nothing else
            ahead=float(answer.one("time") or 0) - time.time(),
            family=answer.one("family") or "",
            engine=answer.one("engine"),  # type: ignore[arg-type]
            client=answer.one("client") is not None,
            names=frozenset((answer.one("names") or "").split()),
        )
