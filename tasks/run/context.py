"""One run: what is known before any host is connected to, and what its parts tell each other on the way."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gevent.event import Event

from tasks.accounts.passwords import Former
from tasks.certificates.ca import Pair
from tasks.certificates.rollover import Authorities
from tasks.registry.plan import RegistryHost
from tasks.run.machines import Machine
from tasks.run.report import Report
from tasks.settings.load import Configuration
from tasks.state.store import State, Store

Asked = Literal["adopt", "new certificate", "new passwords", "revoke passwords", "new CA", "retire CA"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """All that the operations of a run share.

    `asked` is what the files of `deploys/` ask for beside what is due. `finished` are the hosts that are as they should
    be, each with the group as whose host it was read in this run.

    `registry` and what follows is filled in by the operations on the registry host, which come first; what is
    None was not reached. In a plan these are what the run would make, and nothing of it is written. `served`
    means that the registry host is finished, `registry_decided` that a plan knows all it will of that host. `found`
    is what was read of each host: by its name and the fact, with the fact's arguments.
    """

    configuration: Configuration
    store: Store
    inventory: str
    dry: bool
    asked: set[Asked] = field(default_factory=set)
    state: State = field(default_factory=State)
    report: Report = field(default_factory=Report)
    machines: dict[str, Machine] = field(default_factory=dict)
    found: dict[tuple[str, type], tuple[dict[str, Any], Any]] = field(default_factory=dict, repr=False)
    registry: RegistryHost | None = None
    address: str | None = None
    authorities: Authorities | None = None
    leaf: Pair | None = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)
    former: Mapping[str, Former] = field(default_factory=dict, repr=False)
    http_secret: str | None = field(default=None, repr=False)
    images: dict[str, str] = field(default_factory=dict)
    made_images: set[str] = field(default_factory=set)
    served: bool = False
    finished: set[tuple[str, str]] = field(default_factory=set)
    registry_decided: Event = field(default_factory=Event, repr=False)
    resources: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def names(self) -> list[str]:
        """All names and addresses that the registry is to be reached by."""
        named = self.configuration.settings.names
        return [*named, *([self.address] if self.address and self.address not in named else [])]


_current: list[Run] = []


def begin(run: Run) -> None:
    """Make `run` the one that this process carries out."""
    _current[:] = [run]


def current() -> Run:
    """Return the run; `LookupError` where the project's `config.py` was not read."""
    if not _current:
        raise LookupError("no run has begun")
    return _current[0]
