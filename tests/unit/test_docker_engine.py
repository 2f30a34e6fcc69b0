"""The steps on a host with and without Docker Engine; tests/fleet runs the scripts themselves."""

from __future__ import annotations

import subprocess

import pytest

from tasks import docker_engine
from tasks.remote.steps import Conflict
from tasks.run.machines import Engine, Machine

START = "start Docker Engine: it is not running"
INSTALL = "install Docker Engine from the distribution's packages (about a minute): "


def machine(engine: Engine, family: str = "debian ", *, client: bool = False) -> Machine:
    return Machine("root", 0.0, family, engine, client)


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("family", ["debian ", "ubuntu debian", "raspbian debian", "fedora ", "alpine ", " "])
@pytest.mark.parametrize(("engine", "texts"), [("running", []), ("stopped", [START])])
def test_an_existing_engine_is_used_on_any_distribution(
    engine: Engine, family: str, client: bool, texts: list[str]
) -> None:
    assert [step.text for step in docker_engine.steps(machine(engine, family, client=client))] == texts


@pytest.mark.parametrize("family", ["debian ", "ubuntu debian", "raspbian debian"])
@pytest.mark.parametrize(("client", "found"), [(False, "there is none"), (True, "there is only its client")])
def test_a_missing_engine_is_installed_and_then_started(family: str, client: bool, found: str) -> None:
    steps = docker_engine.steps(machine("absent", family, client=client))
    assert [step.text for step in steps] == [INSTALL + found, START]
    assert [step.stdin for step in steps] == [None, None]
    assert steps[1:] == docker_engine.steps(machine("stopped"))


@pytest.mark.parametrize("family", ["fedora ", "rhel fedora", "alpine ", "notdebian debianish", " ", ""])
def test_on_other_distributions_users_install_the_engine_themselves(family: str) -> None:
    with pytest.raises(Conflict) as stop:
        docker_engine.steps(machine("absent", family))
    assert (stop.value.problem, stop.value.remedy) == (
        "there is no Docker Engine, and this project installs it only on Debian and its derivatives",
        "install Docker Engine as its documentation says, and run again",
    )


@pytest.mark.parametrize("family", ["debian ", "fedora "])
def test_an_engine_that_does_not_answer_is_a_conflict(family: str) -> None:
    with pytest.raises(Conflict) as stop:
        docker_engine.steps(machine("silent", family))
    assert (stop.value.problem, stop.value.remedy) == (
        "Docker Engine accepts requests but does not answer within 20 seconds",
        "look at its log (journalctl -u docker), restart it, and run again",
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_scripts_are_valid_shell(number: int) -> None:
    script = docker_engine.steps(machine("absent"))[number].script
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
