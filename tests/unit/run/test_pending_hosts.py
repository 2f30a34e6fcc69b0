"""Which hosts count as finished: those that a run brought to what they should be, and none in a plan."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pyinfra.api.host import Host

from tasks.run.context import Run
from tasks.run.pending_hosts import mark_finished, pending_hosts
from tasks.settings.load import Configuration, HostSettings, Settings
from tasks.state.store import Store

NAMES = ("nas", "pi", "off")


def fake_host(*, executing: bool) -> Host:
    """Return pyinfra's host `nas` of an inventory in which `off` could not be reached."""
    hosts = {name: SimpleNamespace(name=name) for name in NAMES}
    groups = {"docker_hosts": [*hosts.values()], "cluster_nodes": [hosts["pi"]]}
    return cast(
        "Host",
        SimpleNamespace(
            name="nas",
            state=SimpleNamespace(is_executing=executing, active_hosts=[hosts["nas"], hosts["pi"]]),
            inventory=SimpleNamespace(groups=groups),
        ),
    )


def make_run(*excused: str) -> Run:
    settings = Settings(registry_excused_hosts=excused)
    configuration = Configuration(settings, {name: HostSettings() for name in NAMES}, "nas")
    return Run(configuration, Store(Path("/nowhere")), inventory="lab", dry=False)


def test_a_run_waits_for_every_client_that_it_has_not_finished() -> None:
    run, host = make_run(), fake_host(executing=True)
    assert pending_hosts(run, host) == ["nas", "off", "pi"]
    mark_finished(run, host, "docker_hosts", "Docker trusts it")
    assert pending_hosts(run, host) == ["off", "pi"]
    assert run.report.done == {"nas": ["Docker trusts it"]}


def test_a_host_is_finished_in_each_of_its_groups_by_itself() -> None:
    run, host = make_run(), fake_host(executing=True)
    run.finished |= {("nas", "docker_hosts"), ("off", "docker_hosts"), ("pi", "docker_hosts")}
    assert pending_hosts(run, host) == ["pi"]
    assert pending_hosts(run, host, lambda _, group: group == "docker_hosts") == []


def test_an_excused_host_is_not_waited_for() -> None:
    assert pending_hosts(make_run("off", "pi"), fake_host(executing=True)) == ["nas"]


def test_a_plan_waits_only_for_hosts_that_it_did_not_reach() -> None:
    assert pending_hosts(make_run(), fake_host(executing=False)) == ["off"]


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_finishes_no_host(name: str) -> None:
    """Without `-y` a plan comes first, in the same process: what it marked would count in the run."""
    run, planning = make_run(), fake_host(executing=False)
    planning.name = name
    mark_finished(run, planning, "docker_hosts", "Docker trusts it")
    assert run.finished == set()
    assert run.report.done == {}
