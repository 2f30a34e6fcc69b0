"""What a run collects for its end: what each host has now, notes, and problems with their remedies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tasks.verbs import with_inventory

Outcome = Literal["planned", "not taken", "begun", "taken", "failed"]

REMEDIES = {
    "free space there (df -h, df -i) and run again": ("No space left on device",),
    "the package mirror cannot be reached from there; check its network and run again": (
        "Failed to fetch", "Temporary failure resolving", "Could not connect to", "Unable to fetch some archives",
    ),
    "the package is not in that host's sources (/etc/apt); add Debian's main and run again": (
        "Unable to locate package",
    ),
    "install Docker Engine there as its documentation says, and run again": ("for Docker Engine", "remove is disabled"),
    "stop the program that uses the port, or set registry_port, and run again": ("address already in use",),
    "stop the container that uses the port, or set registry_port, and run again": ("port is already allocated",),
    "start Docker Engine there (systemctl start docker) and run again": ("Cannot connect to the Docker daemon",),
    "there is no such image, or not for everyone; correct registry_image or registry_gateway_image, and run again": (
        "manifest unknown", "pull access denied",
    ),
    "the caches need nginx with njs: correct registry_gateway_image, and run again": ("ngx_http_js_module.so",),
    "wait for an hour, or log in there (docker login), and run again": ("toomanyrequests",),
    "that address cannot be reached from there; check its network and its name server, and run again": (
        "no such host", "connect: connection refused", "i/o timeout", "TLS handshake timeout",
    ),
    "see why (docker logs homelab-registry-gateway) and run again": ("still serves another one",),
    "allow programs there while images are built (mount -o remount,exec) and run again": ("mounted noexec",),
    "use another disk, or mount it with uid=60706,gid=60706,dir_mode=0700,file_mode=0600 (SMB; FAT: umask=0077), or "
    "export it with no_root_squash (NFS), and run again": ("keeps no owners of files",),
    "that file system cannot be written to; check the disk and run again": ("Read-only file system",),
}  # fmt: skip
"""What to do, by the texts in a failed command's output that it helps against."""


@dataclass
class StepRecord:
    """A step as it was decided, and what became of it; `seconds` is how long it took, None if it was not carried out.

    A step that is `begun` was under way when the run ended.
    """

    what: str
    reason: str
    outcome: Outcome
    seconds: float | None = None

    @property
    def text(self) -> str:
        """What the step does and why, in one line."""
        return f"{self.what}: {self.reason}" if self.reason else self.what


@dataclass
class Report:
    """What the end of the run says, by host.

    `steps` are those that were decided, `reasons` say why there was nothing to do. `done` says what the host has now,
    `notes` what to keep in mind, `problems` what went wrong and what to do. Make's verbs in both get the `inventory`.
    """

    inventory: str
    steps: dict[str, list[StepRecord]] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def count(self, *outcomes: Outcome) -> int:
        """Return how many steps there are, or how many of these outcomes."""
        every = [step for steps in self.steps.values() for step in steps]
        return len([step for step in every if not outcomes or step.outcome in outcomes])

    def add_step(self, host: str, text: str, outcome: Outcome) -> StepRecord:
        """Add a step that was decided; its text has the reason after the first colon."""
        what, _, reason = text.partition(": ")
        step = StepRecord(what, reason, outcome)
        self.steps.setdefault(host, []).append(step)
        return step

    def forget_plan(self) -> None:
        """Forget what was decided before anything was carried out: it is decided again."""
        self.steps.clear()
        self.reasons.clear()

    def nothing_to_do(self, host: str, reason: str) -> None:
        """Add why a part of the work has nothing to do on a host."""
        self.reasons.setdefault(host, []).append(reason)

    def say(self, host: str, line: str) -> None:
        """Add what a host has after this run."""
        self.done.setdefault(host, []).append(line)

    def note(self, host: str, line: str) -> None:
        """Add what people should know of a host, once; it keeps nothing from being finished."""
        line = with_inventory(line, self.inventory)
        noted = self.notes.setdefault(host, [])
        if line not in noted:
            noted.append(line)

    def problem(self, host: str, problem: str, remedy: str) -> None:
        """Add what keeps a host from being finished, once."""
        problem, remedy = (with_inventory(text, self.inventory) for text in (problem, remedy))
        noted = self.problems.setdefault(host, [])
        if (problem, remedy) not in noted:
            noted.append((problem, remedy))


def remedy_for(output: str) -> str:
    """Return what to do about a failed command's output."""
    found = (remedy for remedy, signs in REMEDIES.items() if any(sign in output for sign in signs))
    return next(found, "fix that and run again")
