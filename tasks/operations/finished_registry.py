"""What clients are told of the registry, once it is there to be told of."""

from __future__ import annotations

from pyinfra.api.host import Host

from tasks.model.steps import Conflict
from tasks.run import current


def finished_registry(host: Host) -> tuple[str, str]:
    """Return the CA's certificate as PEM text and the registry's address, for a client `host`.

    Raises `Conflict` where the registry host is not finished: nothing is told to trust what is not there. A plan
    takes what a run would make.
    """
    run = current()
    registry_host = host.inventory.get_host(run.configuration.registry_host)
    if not host.state.is_executing and registry_host in host.state.active_hosts:
        run.registry_decided.wait()  # a plan asks all hosts at once
    if run.authority is None or run.address is None or (host.state.is_executing and not run.served):
        raise Conflict(
            f"the registry host {run.configuration.registry_host} is not finished, so nothing is told to trust it",
            "mend that host first and run again",
        )
    return run.authority.certificate_pem, run.address


def password_of(account: str) -> str:
    """Return an account's password; `Conflict` where the registry host did not get as far as having one."""
    run = current()
    if account not in run.passwords:
        raise Conflict(
            f"the registry host {run.configuration.registry_host} is not finished, so {account} has no password yet",
            "mend that host first and run again",
        )
    return run.passwords[account]
