"""What a run does to a host, as values: a text for people, a script for the host, a text for its standard input."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.problem import Problem


@dataclass(frozen=True)
class Step:
    """One change on a host.

    `text` says what is done and, after a colon, why; a line for each where one script does several things. `script`
    is POSIX shell and runs as root; it never holds a secret. `stdin` may: it is the one way for a secret to travel,
    as nothing prints or logs it. `path` is the file or folder that is changed, and `writes` tells that its content
    is.
    """

    text: str
    script: str
    stdin: str | None = field(default=None, repr=False)
    path: str | None = None
    writes: bool = False


def restart(unit: str, minutes: int) -> str:
    """Return the script that restarts a unit of systemd, and fails where it does not come up within some minutes."""
    complaint = f"{unit} does not come up within {minutes} minutes; see journalctl -u {unit}"
    return f'timeout {minutes * 60} systemctl restart {unit} || {{ echo "{complaint}" >&2; exit 1; }}'


class Conflict(Problem):
    """Something on a host that contradicts what was asked for; nothing is changed before it is settled."""
