"""What is measured, and the order in which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fake
from benchmarks.hosts import Hosts, count_hosts, groups
from benchmarks.runs import Run, deploy, exec_true, interleaved, playbook, record_commands
from benchmarks.same_state import check_same_state, write_passwords

ROUNDS = 5
PLAYBOOK_ROUNDS = 3
"""At the sizes that have a mark; once at the others, since it takes minutes."""

FIRST_ROUNDS = 3

Seconds = dict[int, float]
"""The median by the number of hosts."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of hosts.

    `marked` have marks to reach; at those `compared` Ansible runs too, and at those `alone` only pyinfra; `simulated`
    are more than there can be.
    """

    marked: Sequence[int]
    compared: Sequence[int]
    alone: Sequence[int]
    simulated: Sequence[int]


@dataclass
class Figures:
    """All that is measured: seconds of runs without changes, of first runs, and commands per host of such a kind.

    `deploy` is deploy.py, `nothing` is `pyinfra exec -- true`; `fake_…` are those on simulated hosts.
    """

    deploy: Seconds = field(default_factory=dict)
    nothing: Seconds = field(default_factory=dict)
    playbook: Seconds = field(default_factory=dict)
    fake_deploy: Seconds = field(default_factory=dict)
    fake_nothing: Seconds = field(default_factory=dict)
    first_deploy: Seconds = field(default_factory=dict)
    first_playbook: Seconds = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)


def measure(tools: Path, hosts: Hosts, sizes: Sizes) -> Figures:
    """Measure on the first hosts of as many as each size says."""
    figures = Figures()
    log_progress("building the registry's images")
    deploy(hosts.for_pyinfra(1))
    for count in sizes.marked:
        log_progress(f"first run, {count_hosts(count)}")
        measure_first_runs(figures, tools, hosts, count)
    both = {*sizes.marked, *sizes.compared}
    log_progress(f"proving that both tools make the same, {count_hosts(max(both))}")
    hosts.bare()
    check_same_state(tools, hosts, max(both))
    most = max(*both, *sizes.alone)
    deploy(hosts.for_pyinfra(most))
    for count in sorted({*both, *sizes.alone}):
        log_progress(f"re-run without changes, {count_hosts(count)}")
        contenders = _pyinfra_contenders(hosts.for_pyinfra(count))
        if count in both:
            rounds = PLAYBOOK_ROUNDS if count in sizes.marked else 1
            contenders["playbook"] = (rounds, partial(playbook, tools, hosts, count))
        for name, seconds in interleaved(contenders).items():
            getattr(figures, name)[count] = seconds
    log_progress("counting commands")
    recorded = record_commands(hosts.for_pyinfra(most))
    figures.commands = most_commands(recorded, most)
    for count in sizes.simulated:
        log_progress(f"re-run without changes, {count} simulated hosts")
        taken = interleaved(_pyinfra_contenders(fake.write_inventory(hosts, recorded, count)))
        figures.fake_nothing[count], figures.fake_deploy[count] = taken["nothing"], taken["deploy"]
    return figures


def _pyinfra_contenders(inventory: Path) -> dict[str, tuple[int, Callable[[], Run]]]:
    return {
        "nothing": (ROUNDS, partial(exec_true, inventory)),
        "deploy": (ROUNDS, partial(deploy, inventory)),
    }


def measure_first_runs(figures: Figures, tools: Path, hosts: Hosts, count: int) -> None:
    """Measure first runs; packages and the registry's images are there already."""
    ours, theirs = [], []
    for _ in range(FIRST_ROUNDS):
        hosts.bare()
        ours.append(deploy(hosts.for_pyinfra(count)).seconds)
        hosts.bare()
        write_passwords(hosts)
        theirs.append(playbook(tools, hosts, count).seconds)
    figures.first_deploy[count], figures.first_playbook[count] = median(ours), median(theirs)


def most_commands(recorded: fake.Recorded, count: int) -> dict[str, int]:
    """Return the most commands on a host of each kind; the registry host is of all kinds but a node's."""
    of = {"registry host": ["registry"], "Docker host": groups(count)["docker_hosts"][1:]}
    of["node"] = groups(count)["cluster_nodes"]
    return {kind: max(len(recorded[name]) for name in names) for kind, names in of.items() if names}


def log_progress(what: str) -> None:
    """Print what is measured now."""
    print(f"{what} ...", flush=True)
