"""What every host that uses the registry gets: the names in `/etc/hosts`, and the CA in the system's trust store.

A Docker host that is a cluster node too gets these once, as a Docker host.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.certificates.name_constraints import parse_address
from tasks.clients import hosts_file, hosts_makers, system_trust
from tasks.clients.hosts_file import HostsFile
from tasks.clients.system_trust import Family
from tasks.problem import Problem
from tasks.registry import cache
from tasks.remote.steps import Step
from tasks.run.context import Run
from tasks.settings.load import HostSettings, Settings


@dataclass(frozen=True)
class ClientHost:
    """Such a host as it is. `store` is None if it was not read."""

    hosts: HostsFile = field(default_factory=HostsFile)
    store: system_trust.TrustStore | None = None


def family(host_settings: HostSettings, words: str) -> Family | None:
    """Return the family whose trust store is managed, None if it is not; `Conflict` if the family is not known."""
    return system_trust.family_of(words) if host_settings.registry_system_trust else None


def steps(
    settings: Settings, ca_pem: str, address: str, trusting: Family | None, found: ClientHost
) -> list[Step]:
    """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
    named = hosts_file.steps(
        found.hosts,
        address if settings.registry_manage_hosts_file else None,
        _dns_names(settings),
    )
    if trusting is None or found.store is None:
        return named
    return named + system_trust.steps(trusting, ca_pem, found.store)


def loss(settings: Settings, address: str, found: ClientHost) -> Problem | None:
    """Return why our entry in `/etc/hosts` will be lost, and what to do, or None."""
    if not settings.registry_manage_hosts_file:
        return None
    return hosts_makers.loss(found.hosts, address, _dns_names(settings))


def note_loss(run: Run, host: str, address: str, found: ClientHost) -> None:
    """Note it in the report."""
    if lost := loss(run.configuration.settings, address, found):
        run.report.note(host, f"{lost.problem}; {lost.remedy}")


def _dns_names(settings: Settings) -> list[str]:
    return [name for name in cache.server_names(settings) if parse_address(name) is None]
