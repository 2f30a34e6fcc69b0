"""What is measured, and the order in which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fake
from benchmarks.hosts import Hosts, counted, groups
from benchmarks.runs import Run, deploy, interleaved, nothing, playbook, record
from benchmarks.same_state import give_passwords, prove

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
    say("building the registry's images")
    deploy(hosts.for_pyinfra(1))
    for count in sizes.marked:
        say(f"first run, {counted(count)}")
        first(figures, tools, hosts, count)
    both = {*sizes.marked, *sizes.compared}
    say(f"proving that both tools make the same, {counted(max(both))}")
    hosts.bare()
    prove(tools, hosts, max(both))
    most = max(*both, *sizes.alone)
    deploy(hosts.for_pyinfra(most))
    for count in sorted({*both, *sizes.alone}):
        say(f"re-run without changes, {counted(count)}")
        contenders = _of_pyinfra(hosts.for_pyinfra(count))
        if count in both:
            rounds = PLAYBOOK_ROUNDS if count in sizes.marked else 1
            contenders["playbook"] = (rounds, partial(playbook, tools, hosts, count))
        for name, seconds in interleaved(contenders).items():
            getattr(figures, name)[count] = seconds
    say("counting commands")
    recorded = record(hosts.for_pyinfra(most))
    figures.commands = commands(recorded, most)
    for count in sizes.simulated:
        say(f"re-run without changes, {count} simulated hosts")
        taken = interleaved(_of_pyinfra(fake.inventory(hosts, recorded, count)))
        figures.fake_nothing[count], figures.fake_deploy[count] = taken["nothing"], taken["deploy"]
    return figures


def _of_pyinfra(inventory: Path) -> dict[str, tuple[int, Callable[[], Run]]]:
    return {"nothing": (ROUNDS, partial(nothing, inventory)), "deploy": (ROUNDS, partial(deploy, inventory))}


def first(figures: Figures, tools: Path, hosts: Hosts, count: int) -> None:
    """Measure first runs; packages and the registry's images are there already."""
    ours, theirs = [], []
    for _ in range(FIRST_ROUNDS):
        hosts.bare()
        ours.append(deploy(hosts.for_pyinfra(count)).seconds)
        hosts.bare()
        give_passwords(hosts)
        theirs.append(playbook(tools, hosts, count).seconds)
    figures.first_deploy[count], figures.first_playbook[count] = median(ours), median(theirs)


def commands(recorded: fake.Recorded, count: int) -> dict[str, int]:
    """Return the most commands on a host of each kind; the registry host is of all kinds but a node's."""
    of = {"registry host": ["registry"], "Docker host": groups(count)["docker_hosts"][1:]}
    of["node"] = groups(count)["cluster_nodes"]
    return {kind: max(len(recorded[name]) for name in names) for kind, names in of.items() if names}


def say(what: str) -> None:
    """Print what is measured now."""
    print(f"{what} ...", flush=True)
