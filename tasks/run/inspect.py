"""Inspect each host once, before anything else: rights, clock, Docker Engine."""

from __future__ import annotations

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from tasks.remote.steps import Conflict
from tasks.run import machines
from tasks.run.apply import fail_host
from tasks.run.context import Run, current
from tasks.run.machines import Machine, MachineFact


def inspect_host(host: Host) -> bool:
    """Inspect a host, and return whether this run can change it; if not, report why and end its run."""
    try:
        return _inspect(host)
    finally:
        current().inspected[host.name].set()


def _inspect(host: Host) -> bool:
    machine = get_fact(host.state, host, MachineFact, kwargs={"_sudo": False}, apply_failed_hosts=False)
    try:
        if machine is None:
            raise Conflict("its rights and its clock could not be read (see above)", "fix that and run again")
        current().clocks[host.name] = machine.ahead
        machines.check(machine)
    except Conflict as stop:
        list(fail_host(host, stop.problem, stop.remedy))
        return False
    note_machine(current(), host, machine)
    if note := machines.volatile(machine):
        current().report.note(host.name, note)
    return True


def note_machine(run: Run, host: Host, machine: Machine) -> None:
    """Keep a host's `Machine`, and run all further commands there as root."""
    run.machines[host.name] = machine
    # pyinfra reads global arguments from host data (`pop_global_arguments`). This value overrides the inventory's.
    host.data._sudo = machine.rights == "sudo"
