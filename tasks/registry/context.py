"""What the operations on the registry host read and decide in a run, and its clients are told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tasks.accounts.logins import Login
from tasks.certificates.rollover import Authorities
from tasks.registry import cache
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.settings.load import Settings
from tasks.state.store import State


@dataclass
class RegistryContext:
    """Filled in by the registry's operations, in their order; what is None was not reached.

    `before` is the controller's state as this run found it, `present` as it was read last, `desired` as this run leaves
    it; a plan decides the same and writes nothing. `outdated` means that `present` is an older copy, with which the
    registry is taken over. `found` is what the registry host has, `storage` where the images are kept. `images` names
    the image of each container by role, `made_images` those that this run makes. `served` means that the registry host
    is finished.
    """

    before: State | None = None
    present: State = field(default_factory=State)
    desired: State = field(default_factory=State)
    outdated: bool = False
    found: RegistryHost | None = None
    storage: Record | None = None
    address: str | None = None
    authorities: Authorities | None = None
    images: dict[str, str] = field(default_factory=dict)
    made_images: set[str] = field(default_factory=set)
    served: bool = False

    def server_names(self, settings: Settings) -> list[str]:
        """Return all names and addresses that clients reach the registry and its caches by."""
        names = cache.server_names(settings)
        return [*names, self.address] if self.address and self.address not in names else names

    def decide(self, **values: Any) -> None:
        """Note what this run leaves of the controller's state."""
        self.desired = replace(self.desired, **values)

    def login(self, account: str) -> Login:
        """Return the login of an account; `KeyError` if it has no password yet."""
        return Login(account, self.desired.passwords[account])
