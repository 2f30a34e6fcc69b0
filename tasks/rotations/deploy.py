"""Finish rotations: revoke old passwords and retire the old CA once every host is updated."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.operation import operation

from tasks.rotations import ca_rollover, expiry, former_passwords
from tasks.run.apply import stop_host
from tasks.run.context import current


@deploy("Rotations")
def finish() -> None:
    """Remove from the registry host what no client needs any more."""
    if "registry" in host.groups:
        ca_rollover.finish(name="certificate authority")
        former_passwords.revoke(name="former passwords")
        if current().by_timer:
            expiry.check(name="how long CA and certificate are good")
        if "cluster_control" in host.groups:
            fail_unfinished(name="problems of the cluster's namespaces")


@operation()
def fail_unfinished() -> Generator[PyinfraCommand, None, None]:
    """Fail the host if it has problems that no rotation waited for."""
    if current().report.problems.get(host.name) and (host.state.is_executing or current().dry):
        yield from stop_host(host)
