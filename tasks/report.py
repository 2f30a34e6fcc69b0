"""What people read at the end of a run: what is trusted where, what is left to do, and when to come again."""

from __future__ import annotations

from dataclasses import dataclass, field

HINTS = (
    ("No space left on device", "free space there (df -h) and run again"),
    ("Failed to fetch", "the package mirror cannot be reached from there; check its network and run again"),
    (
        "Temporary failure resolving",
        "the package mirror cannot be reached from there; check its network and run again",
    ),
    (
        "Could not connect to",
        "the package mirror cannot be reached from there; check its network and run again",
    ),
    (
        "Unable to fetch some archives",
        "the package mirror cannot be reached from there; check its network and run again",
    ),
    (
        "Unable to locate package",
        "the package is not in that host's sources (/etc/apt); add Debian's main and run again",
    ),
    ("address already in use", "stop the program that uses the port, or set registry_port, and run again"),
    (
        "port is already allocated",
        "stop the container that uses the port, or set registry_port, and run again",
    ),
    (
        "Cannot connect to the Docker daemon",
        "start Docker Engine there (systemctl start docker) and run again",
    ),
    ("Read-only file system", "that file system cannot be written to; check the disk and run again"),
)
"""What commands say when they fail, and what helps."""


@dataclass
class Report:
    """Lines for the end, by host. `done` says what now holds there, `problems` what went wrong and what to do."""

    done: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    steps: int = 0

    def say(self, host: str, line: str) -> None:
        """Note what holds on a host after this run."""
        self.done.setdefault(host, []).append(line)

    def problem(self, host: str, problem: str, remedy: str) -> None:
        """Note what keeps a host from being finished, once."""
        noted = self.problems.setdefault(host, [])
        if (problem, remedy) not in noted:
            noted.append((problem, remedy))


def remedy_for(output: str) -> str:
    """Return what helps against a command's complaint."""
    return next((remedy for sign, remedy in HINTS if sign in output), "mend that and run again")
