"""What every host that uses the registry gets: the names in `/etc/hosts`, and the CA in the system's trust store.

A Docker host that is a cluster node too gets these once, as a Docker host.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.certificates.name_constraints import parse_address
from tasks.clients import hosts_file, system_trust
from tasks.clients.system_trust import Family
from tasks.remote.steps import Step
from tasks.settings.load import HostSettings, Settings


@dataclass(frozen=True)
class ClientHost:
    """Such a host as it is. `store` is None if it was not read.

    If `/etc/hosts` is a mount, as in a container, it cannot be renamed over (EBUSY) and is written in place.
    """

    hosts: str = ""
    rescue: str | None = None
    hosts_is_mount: bool = False
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
        [name for name in settings.server_names if parse_address(name) is None],
        is_mount=found.hosts_is_mount,
        rescue=found.rescue,
    )
    if trusting is None or found.store is None:
        return named
    return named + system_trust.steps(trusting, ca_pem, found.store)
