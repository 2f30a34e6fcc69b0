"""Steps: the changes that a run makes on a host, decided before any is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.problem import Problem


@dataclass(frozen=True)
class Step:
    """One change on a host.

    `text` says what is done and, after a colon, why; one line for each thing that the script does. `script` is POSIX
    shell and runs as root. It never holds a secret; `stdin` may, since nothing prints or logs it. `path` is the file
    or folder that changes, and `writes` is true if its content does. Hosts take steps of the same `turn` one after the
    other, and none after one that failed.
    """

    text: str
    script: str
    stdin: str | None = field(default=None, repr=False)
    path: str | None = None
    writes: bool = False
    turn: str = ""


def restart(unit: str, minutes: int) -> str:
    """Return the script that restarts a systemd unit, and fails if it is not up again within some minutes."""
    complaint = f"{unit} does not come up within {minutes} minutes; see journalctl -u {unit}"
    return f'timeout {minutes * 60} systemctl restart {unit} || {{ echo "{complaint}" >&2; exit 1; }}'


class Conflict(Problem):
    """Something on a host contradicts the settings. It is found before anything on that host is changed."""
