"""Rights, clock and engine of every host, read once and before anything else."""

from __future__ import annotations

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from tasks.remote.steps import Conflict
from tasks.run import machines
from tasks.run.apply import refuse
from tasks.run.context import current
from tasks.run.machines import MachineFact


def inspect_host(host: Host) -> bool:
    """Read what a host is, and return whether it can be worked on; if not, say why and end its run."""
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
