"""One run: what is known before any host is connected to, and what it learns on the way."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from gevent.event import Event
from gevent.lock import BoundedSemaphore
from pyinfra.api.exceptions import PyinfraError

from tasks.run.machines import Machine
from tasks.run.report import Report
from tasks.settings.load import Configuration
from tasks.state.store import Store

Request = Literal[
    "adopt", "new certificate", "new passwords", "revoke passwords", "new CA", "retire CA", "make room"
]

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder."""

P = TypeVar("P")


@dataclass
class Turn:
    """Steps that hosts take one after the other; `failed` is the host whose step failed, after which none goes on."""

    lock: BoundedSemaphore = field(default_factory=BoundedSemaphore)
    failed: str | None = None


@dataclass
class Run:
    """What all concerns share. It knows none of them: each keeps its own `part`.

    `by_timer` means that nobody reads what this run prints, unless it fails; `verbose` that it also prints why there is
    nothing to do, `as_json` that standard output gets a document. `begun` is when it began (`time.monotonic`),
    `interrupted` says that a person ended it.
    `requests` is what the files of `deploys/` ask for beside what is due. `machines` holds each host that was inspected
    and can be changed, by name; `clocks` how many seconds the clock of each inspected host is ahead. `facts` holds what
    was read of each host, by its name and fact, then by the arguments.
    `finished` holds the hosts that this run brought to what they should be, each with the group it was finished in.
    `settled` has an event by host: set as soon as a plan will learn no more of that host; `inspected` one that is set
    once it is known whether `machines` has it. `turns` are those of `Step`.
    """

    configuration: Configuration
    store: Store
    inventory: str
    dry: bool
    by_timer: bool = False
    verbose: bool = False
    as_json: bool = False
    interrupted: bool = False
    requests: set[Request] = field(default_factory=set)
    report: Report = field(init=False)
    machines: dict[str, Machine] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)
    facts: dict[tuple[str, type], dict[str, Any]] = field(default_factory=dict, repr=False)
    finished: set[tuple[str, str]] = field(default_factory=set)
    settled: defaultdict[str, Event] = field(default_factory=lambda: defaultdict(Event), repr=False)
    inspected: defaultdict[str, Event] = field(default_factory=lambda: defaultdict(Event), repr=False)
    turns: defaultdict[str, Turn] = field(default_factory=lambda: defaultdict(Turn), repr=False)
    begun: float = field(default_factory=time.monotonic)
    resources: ExitStack = field(default_factory=ExitStack, repr=False)
    _parts: dict[type, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.report = Report(self.inventory)

    def part(self, kind: type[P]) -> P:
        """Return what one concern keeps for this run; it is made the first time."""
        made: P = self._parts.setdefault(kind, kind())
        return made


_current: list[Run] = []


def begin(run: Run) -> None:
    """Make `run` the one that this process carries out."""
    _current[:] = [run]


def current() -> Run:
    """Return the run; `PyinfraError`, which ends all in one line, if the project's `config.py` was not read."""
    if not _current:
        raise PyinfraError("config.py was not read; run it from the project's folder, without --config")
    return _current[0]
