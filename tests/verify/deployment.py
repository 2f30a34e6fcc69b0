"""What is verified: an inventory, its settings, and the controller's state."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass, field

from pyinfra.api.inventory import Inventory

from tasks.certificates import rollover
from tasks.certificates.rollover import Authorities
from tasks.run.context import ROOT
from tasks.settings import inventory as inventories
from tasks.settings.load import Configuration, HostSettings, SettingsError
from tasks.state.files import StateError
from tasks.state.place import store_of
from tasks.state.store import State, Store
from tests.verify.backend import Hosts


@dataclass(frozen=True)
class Login:
    """An account with its password."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Deployment:
    """All that is known without connecting to a host."""

    path: str
    configuration: Configuration
    inventory: Inventory
    store: Store
    state: State

    @property
    def authorities(self) -> Authorities:
        """The CAs, at the stage that a run has brought them to."""
        assert self.state.authority  # as `read` has checked
        return rollover.stage_at(self.state.authority, self.state.successor, None, dt.datetime.now(dt.UTC))

    def certificates(self, now: dt.datetime) -> list[str]:
        """Return the days that the certificates have left, and what a rollover waits for."""
        found, leaf = self.authorities, self.state.leaf
        assert leaf  # as `read` has checked
        ends = {
            "the certificate": leaf.certificate,
            "its authority": found.issuer.certificate,
        }
        if found.successor and found.issuer is found.latest:
            ends["the old authority"] = found.present.certificate
        left = ", ".join(f"{what} {(each.not_valid_after_utc - now).days}" for what, each in ends.items())
        said = [f"days left: {left}", rollover.describe_progress(found), rollover.expiry_warning(found, now)]
        return [line for line in said if line]

    def passwords(self) -> list[str]:
        """Return a line for each account that has a former password."""
        return [
            f"the former password of {name}, changed on {each.since:%Y-%m-%d}, is still accepted; a run revokes it once "
            "nobody needs it, make revoke-passwords ACCOUNT={name} now"
            for name, each in self.state.former.items()
        ]

    def group(self, name: str) -> list[str]:
        """Return the names of the hosts in a group of the inventory."""
        return [host.name for host in self.inventory.groups.get(name, [])]

    @property
    def clients(self) -> list[str]:
        """The names of all hosts that trust the registry, each once."""
        return list(dict.fromkeys([*self.group("docker_hosts"), *self.group("cluster_nodes")]))

    def of(self, host: str) -> HostSettings:
        """Return the settings of a host."""
        return self.configuration.hosts[host]

    @functools.cached_property
    def hosts(self) -> Hosts:
        """The hosts, connected when the first is needed."""
        others = [*self.clients, *self.group("cluster_control"), *self.group("backup_hosts")]
        return Hosts(self.path, self.inventory, [self.configuration.registry_host, *others])

    def login(self, *roles: str) -> Login:
        """Return an account with the first of these roles that any account has."""
        accounts = self.configuration.settings.registry_accounts
        name = next((name for role in roles for name in accounts if accounts[name] == role), None)
        assert name, (
            f"registry_accounts has no account of the role {' or '.join(roles)}; add one and run make deploy"
        )
        return self.login_as(name)

    def login_as(self, name: str) -> Login:
        """Return the account of this name."""
        assert name in self.state.passwords, (
            f"{self.store.password_path(name)} is missing; run make deploy, or restore it from your backup"
        )
        return Login(name, self.state.passwords[name])


def read(path: str) -> Deployment:
    """Read an inventory and its state; `ValueError`, a line for each mistake, if there is nothing to verify."""
    try:
        inventory, configuration = inventories.read(path)
    except SettingsError as error:
        raise ValueError("\n".join(error.problems)) from None
    try:
        store = store_of(path, configuration.settings.registry_state_dir, ROOT)
        state = store.read()
    except (StateError, OSError) as error:
        raise ValueError(str(error)) from None
    if not (state.authority and state.leaf):
        raise ValueError(
            f"{store.folder} has no finished deployment, so there is nothing to verify; run make deploy"
        )
    if state.registry_host != configuration.registry_host:
        raise ValueError(
            f"{store.folder} belongs to the registry host {state.registry_host}, not to "
            f"{configuration.registry_host}; use the inventory that it was made with, or run make deploy"
        )
    return Deployment(path, configuration, inventory, store, state)
