"""What the operations on the registry host read and decide in a run, and its clients are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.accounts.passwords import Former
from tasks.certificates.ca import Pair
from tasks.certificates.rollover import Authorities
from tasks.registry.plan import RegistryHost
from tasks.settings.load import Settings
from tasks.state.store import State


@dataclass
class RegistryContext:
    """Filled in by the registry's operations, in their order; what is None was not reached.

    In a plan these are what a run would make, and nothing of it is written. `state` is what the controller keeps,
    `found` what the registry host has. `made_images` are the images that this run makes. `served` means that the
    registry host is finished.
    """

    state: State = field(default_factory=State)
    found: RegistryHost | None = None
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

    def server_names(self, settings: Settings) -> list[str]:
        """Return all names and addresses that clients reach the registry by."""
        names = list(settings.server_names)
        return [*names, self.address] if self.address and self.address not in names else names
