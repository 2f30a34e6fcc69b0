"""Measure runs of deploy.py, pyinfra alone and Ansible."""

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
"""Rounds of Ansible at sizes with a target; at other sizes a single one, since it takes minutes."""

FIRST_ROUNDS = 3

Seconds = dict[int, float]
"""Median seconds by number of hosts."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of hosts to measure with.

    `with_targets` have targets; at these and at `with_ansible`, Ansible is measured as well. `pyinfra_only` is measured
    without Ansible, `simulated` with simulated hosts.
    """

    with_targets: Sequence[int]
    with_ansible: Sequence[int]
    pyinfra_only: Sequence[int]
    simulated: Sequence[int]


@dataclass
class Figures:
    """All results: seconds of re-runs without changes, seconds of first runs, and commands by kind of host.

    `deploy` is deploy.py, `nothing` is `pyinfra exec -- true`; `fake_…` are the same on simulated hosts.
    """

    deploy: Seconds = field(default_factory=dict)
    nothing: Seconds = field(default_factory=dict)
    playbook: Seconds = field(default_factory=dict)
    fake_deploy: Seconds = field(default_factory=dict)
    fake_nothing: Seconds = field(default_factory=dict)
    first_deploy: Seconds = field(default_factory=dict)
    first_playbook: Seconds = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)


def measure(environment: Path, hosts: Hosts, sizes: Sizes) -> Figures:
    """Measure at each size, on the first hosts. `environment` is the virtual environment that has Ansible."""
    figures = Figures()
    log_progress("building the registry's images")
    deploy(hosts.for_pyinfra(1))
    for count in sizes.with_targets:
        log_progress(f"first run, {count_hosts(count)}")
        measure_first_runs(figures, environment, hosts, count)
    with_ansible = {*sizes.with_targets, *sizes.with_ansible}
    log_progress(f"checking that both tools produce the same state, {count_hosts(max(with_ansible))}")
    hosts.reset()
    check_same_state(environment, hosts, max(with_ansible))
    most = max(*with_ansible, *sizes.pyinfra_only)
    deploy(hosts.for_pyinfra(most))
    for count in sorted({*with_ansible, *sizes.pyinfra_only}):
        log_progress(f"re-run without changes, {count_hosts(count)}")
        contenders = _pyinfra_contenders(hosts.for_pyinfra(count))
        if count in with_ansible:
            rounds = PLAYBOOK_ROUNDS if count in sizes.with_targets else 1
            contenders["playbook"] = (rounds, partial(playbook, environment, hosts, count))
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


def measure_first_runs(figures: Figures, environment: Path, hosts: Hosts, count: int) -> None:
    """Measure first runs on hosts that have only the packages and the registry's images."""
    ours, theirs = [], []
    for _ in range(FIRST_ROUNDS):
        hosts.reset()
        ours.append(deploy(hosts.for_pyinfra(count)).seconds)
        hosts.reset()
        write_passwords(hosts)
        theirs.append(playbook(environment, hosts, count).seconds)
    figures.first_deploy[count], figures.first_playbook[count] = median(ours), median(theirs)


def most_commands(recorded: fake.Recorded, count: int) -> dict[str, int]:
    """Return the highest number of commands on a host of each kind; the registry host is a Docker host as well."""
    hosts = {"registry host": ["registry"], "Docker host": groups(count)["docker_hosts"][1:]}
    hosts["node"] = groups(count)["cluster_nodes"]
    return {kind: max(len(recorded[name]) for name in names) for kind, names in hosts.items() if names}


def log_progress(step: str) -> None:
    """Print what is being measured."""
    print(f"{step} ...", flush=True)
