"""Fail the timer's run while there is time, if the CA or the certificate is about to expire and no run prevents that.

A person who runs `make deploy` reads it at the end of the run. Nobody reads what the timer's runs print.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.certificates import rollover
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Conflict
from tasks.run.apply import AnyStep, apply_steps
from tasks.run.context import Run


@operation()
def check() -> Generator[PyinfraCommand, None, None]:
    """Fail if a person has to do something before long."""
    yield from apply_steps(
        host, _decide, "both are good for longer than 90 days, or the next runs renew them"
    )


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    found, leaf = context.authorities, context.desired.leaf
    if found is None or leaf is None:
        raise LookupError("the operation on certificates comes first")
    before = run.configuration.settings.renew_before_days
    if problem := rollover.expiry_problem(found, leaf.certificate, before, dt.datetime.now(dt.UTC)):
        waiting = rollover.describe_progress(found)
        raise Conflict(problem, waiting or "run make rotate-ca when every host can be reached, then back up")
    return []
