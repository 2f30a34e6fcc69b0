"""Rights, clock and engine of every host, read once and before anything else."""

from __future__ import annotations

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from tasks.facts.machines import MachineFact
from tasks.model import machines
from tasks.operations.carry_out import refuse
from tasks.remote.steps import Conflict
from tasks.run import current


def look(host: Host) -> bool:
    """Read what a host is; false where it cannot be worked on, which is then said and ends its run."""
    machine = get_fact(host.state, host, MachineFact, kwargs={"_sudo": False}, apply_failed_hosts=False)
    try:
        if machine is None:
            raise Conflict(
                "its rights and its clock could not be read (see above)", "mend that and run again"
            )
        machines.check(machine)
    except Conflict as stop:
        list(refuse(host, stop.problem, stop.remedy))
        return False
    current().machines[host.name] = machine
    return True
