"""The benchmark's targets: what is compared, and whether a value at or beyond the bound reaches the target."""

from __future__ import annotations

import pytest

from benchmarks.fake import Recorded
from benchmarks.figures import Figures, most_commands
from benchmarks.hosts import groups
from benchmarks.results import page, rows

FIGURES = Figures(
    deploy={1: 1.0, 10: 2.5},
    nothing={1: 0.8, 10: 1.0},
    playbook={1: 8.0, 10: 37.4},
    fake_deploy={100: 2.0},
    fake_nothing={100: 1.5},
    first_deploy={1: 4.0, 10: 10.0},
    first_playbook={1: 12.0, 10: 29.9},
    commands={"registry host": 6, "Docker host": 2, "node": 3},
)


def test_each_target_is_reached_at_its_bound_and_missed_beyond_it() -> None:
    assert [(row.name, round(row.value, 2), row.bound, row.reached) for row in rows(FIGURES)] == [
        ("re-run without changes against `pyinfra exec -- true`, 10 hosts", 2.5, 2.5, True),
        ("re-run without changes against Ansible, 1 host", 8.0, 8, True),
        ("re-run without changes against Ansible, 10 hosts", 14.96, 15, False),
        ("first run against Ansible, 1 host", 3.0, 3, True),
        ("first run against Ansible, 10 hosts", 2.99, 3, False),
        ("commands on a registry host, re-run without changes", 6, 6, True),
        ("commands on a Docker host, re-run without changes", 2, 2, True),
        ("commands on a node, re-run without changes", 3, 2, False),
    ]


def test_the_page_has_each_target_and_each_number_of_hosts() -> None:
    lines = page(FIGURES, ["2 cores"]).splitlines()
    assert (
        "| re-run without changes against Ansible, 10 hosts | 14.96 × | 2.50 s against 37.4 s | at least 15 × | **no** |"  # noqa: RUF001
        in lines
    )
    assert "| 10 | 2.50 | 1.00 | 37.4 |" in lines
    assert "| 100, simulated | 2.00 | 1.50 |  |" in lines


@pytest.mark.parametrize(
    ("count", "docker_hosts", "nodes"),
    [
        (1, ["registry"], []),
        (5, ["registry", "host-02", "host-03", "host-05"], ["host-04"]),
        (
            13,
            ["registry", *(f"host-{number:02}" for number in (2, 3, 5, 6, 7, 9, 10, 11, 12, 13))],
            ["host-04", "host-08"],
        ),
    ],
)
def test_the_groups_of_an_inventory_by_its_size(
    count: int, docker_hosts: list[str], nodes: list[str]
) -> None:
    assert groups(count) == {"registry": ["registry"], "docker_hosts": docker_hosts, "cluster_nodes": nodes}


def test_the_highest_number_of_commands_of_each_kind_of_host_counts() -> None:
    recorded: Recorded = {
        "registry": [("a", ["x"])] * 3,
        "host-02": [("a", [])] * 2,
        "host-03": [("a", [])],
        "host-04": [],
    }
    assert most_commands(recorded, 4) == {"registry host": 3, "Docker host": 2, "node": 0}
