"""What clients need to know of the registry, as soon as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra.api.host import Host

from tasks.accounts.logins import Login
from tasks.registry import cache
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Conflict
from tasks.run.context import Run, current


@dataclass(frozen=True)
class FinishedRegistry:
    """The certificates of the CAs to trust as PEM text, the registry's address, and logins.

    `login` is that of nodes, and of users without an account of their own; `logins` are all of this client, by account.
    """

    ca_pem: str
    address: str
    login: Login
    logins: Mapping[str, Login]


def finished_registry(host: Host) -> FinishedRegistry:
    """Return what a client `host` needs to know.

    Raises `Conflict` if the registry host is not finished: no client trusts a registry that does not run. A plan
    takes what a run would make.
    """
    run = current()
    context = run.part(RegistryContext)
    registry_host = host.inventory.get_host(run.configuration.registry_host)
    if not host.state.is_executing and registry_host in host.state.active_hosts:
        run.settled[registry_host.name].wait()  # a plan asks all hosts at once
    settings, passwords = run.configuration.settings, context.desired.passwords
    of_users = run.configuration.hosts[host.name].login_accounts(settings).values()
    accounts = {settings.registry_login_account, *of_users}
    unready = not accounts <= set(passwords)
    unserved = host.state.is_executing and not context.served
    if context.authorities is None or context.address is None or unready or unserved:
        if not host.state.is_host_in_limit(registry_host):
            raise Conflict(
                f"the registry host {registry_host.name} is left out by --limit or --exclude, and clients need it",
                f"run again with --limit {registry_host.name} too, or without these options",
            )
        raise Conflict(
            f"the registry host {registry_host.name} is not finished, so no client is configured",
            "fix that host first, and run again",
        )
    logins = {account: context.login(account) for account in accounts}
    login = logins[settings.registry_login_account]
    return FinishedRegistry(context.authorities.ca_bundle, context.address, login, logins)


def served_names(run: Run) -> list[str]:
    """Return the server names that are in the certificate now; during a CA rollover some may have to wait."""
    context, names = run.part(RegistryContext), run.configuration.settings.server_names
    later = context.authorities.postponed_names(names) if context.authorities else []
    return [name for name in names if name not in later]


def serves_caches(run: Run) -> bool:
    """Return whether there are caches, and their name is in the certificate now."""
    authorities, name = run.part(RegistryContext).authorities, cache.name(run.configuration.settings)
    return name is not None and not (authorities and authorities.postponed_names([name]))
