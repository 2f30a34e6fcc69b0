"""Rights, clock and engine of every host, read once and before anything else."""

from __future__ import annotations

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from tasks.remote.steps import Conflict
from tasks.run import machines
from tasks.run.apply import fail_host
from tasks.run.context import Run, current
from tasks.run.machines import Machine, MachineFact


def inspect_host(host: Host) -> bool:
    """Read what a host is, and return whether a run can work on it; if not, say why and end its run."""
    machine = get_fact(host.state, host, MachineFact, kwargs={"_sudo": False}, apply_failed_hosts=False)
    try:
        if machine is None:
            raise Conflict("its rights and its clock could not be read (see above)", "fix that and run again")
        machines.check(machine)
    except Conflict as stop:
        list(fail_host(host, stop.problem, stop.remedy))
        return False
    note_machine(current(), host, machine)
    return True


def note_machine(run: Run, host: Host, machine: Machine) -> None:
    """Keep what a host is, and have all further commands on it run as root."""
    run.machines[host.name] = machine
    # pyinfra takes global arguments from host data (`pop_global_arguments`); this one goes before the inventory's.
    host.data._sudo = machine.rights == "sudo"
