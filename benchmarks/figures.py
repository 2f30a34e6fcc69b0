"""What is measured, and the order in which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fake
from benchmarks.hosts import Hosts, groups
from benchmarks.runs import deploy, interleaved, nothing, playbook, record
from benchmarks.same_state import give_passwords, prove

ROUNDS = 5
PLAYBOOK_ROUNDS = 3
"""For the sizes that have a mark; once for the others, since it takes minutes."""

FIRST_ROUNDS = 3

Seconds = dict[int, float]
"""The median by the number of hosts."""


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


def measure(
    tools: Path, hosts: Hosts, marked: Sequence[int], others: Sequence[int], simulated: Sequence[int]
) -> Figures:
    """Measure on the first hosts of as many as each number says; those that are `marked` have a mark to reach."""
    figures, most = Figures(), max(*marked, *others)
    say("building the registry's images")
    deploy(hosts.for_pyinfra(1))
    for count in marked:
        say(f"first run, {count} hosts")
        first(figures, tools, hosts, count)
    say(f"proving that both tools make the same, {most} hosts")
    hosts.bare()
    prove(tools, hosts, most)
    for count in sorted({*marked, *others}):
        say(f"re-run without changes, {count} hosts")
        inventory = hosts.for_pyinfra(count)
        taken = interleaved(
            {
                "nothing": (ROUNDS, partial(nothing, inventory)),
                "deploy": (ROUNDS, partial(deploy, inventory)),
                "playbook": (
                    PLAYBOOK_ROUNDS if count in marked else 1,
                    partial(playbook, tools, hosts, count),
                ),
            }
        )
        for name, seconds in taken.items():
            getattr(figures, name)[count] = seconds
    say("counting commands")
    recorded = record(hosts.for_pyinfra(most))
    figures.commands = commands(recorded, most)
    for count in simulated:
        say(f"re-run without changes, {count} simulated hosts")
        inventory = fake.inventory(hosts, recorded, count)
        taken = interleaved(
            {
                "nothing": (ROUNDS, partial(nothing, inventory)),
                "deploy": (ROUNDS, partial(deploy, inventory)),
            }
        )
        figures.fake_nothing[count], figures.fake_deploy[count] = taken["nothing"], taken["deploy"]
    return figures


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
