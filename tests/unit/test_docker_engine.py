"""The steps on a host with and without Docker Engine; tests/fleet runs the scripts themselves."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

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
    assert [
        step.text for step in docker_engine.steps(machine(engine, family, client=client), required=True)
    ] == texts


@pytest.mark.parametrize("family", ["debian ", "ubuntu debian", "raspbian debian"])
@pytest.mark.parametrize(("client", "found"), [(False, "there is none"), (True, "there is only its client")])
def test_a_missing_engine_is_installed_and_then_started(family: str, client: bool, found: str) -> None:
    steps = docker_engine.steps(machine("absent", family, client=client), required=False)
    assert [step.text for step in steps] == [INSTALL + found, START]
    assert [step.stdin for step in steps] == [None, None]
    assert steps[1:] == docker_engine.steps(machine("stopped"), required=False)


@pytest.mark.parametrize("family", ["fedora ", "rhel fedora", "alpine ", "notdebian debianish", " ", ""])
def test_on_other_distributions_users_install_the_engine_themselves(family: str) -> None:
    with pytest.raises(Conflict) as stop:
        docker_engine.steps(machine("absent", family), required=True)
    assert (stop.value.problem, stop.value.remedy) == (
        "there is no Docker Engine, and this project installs it only on Debian and its derivatives",
        "install Docker Engine as its documentation says, and run again",
    )


@pytest.mark.parametrize("family", ["debian ", "fedora "])
def test_an_engine_that_does_not_answer_is_a_conflict(family: str) -> None:
    with pytest.raises(Conflict) as stop:
        docker_engine.steps(machine("silent", family), required=True)
    assert (stop.value.problem, stop.value.remedy) == (
        "Docker Engine accepts requests but does not answer within 20 seconds",
        "look at its log (journalctl -u docker), restart it, and run again",
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_scripts_are_valid_shell(number: int) -> None:
    script = docker_engine.steps(machine("absent"), required=True)[number].script
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


OFF = {
    "docker.service is disabled": "switch it on (systemctl enable --now docker)",
    "docker.service is masked": "switch it on (systemctl unmask docker && systemctl enable --now docker)",
    "the snap docker is stopped": "switch it on (snap start --enable docker)",
    "only users have engines of their own": "install one for the system (apt-get install docker.io)",
}


@pytest.mark.parametrize("why", OFF)
def test_an_engine_that_is_off_on_purpose_stays_off(why: str) -> None:
    off = replace(machine("off"), why_off=why)
    assert docker_engine.steps(off, required=False) == []
    with pytest.raises(Conflict) as stop:
        docker_engine.steps(off, required=True)
    assert (stop.value.problem, stop.value.remedy) == (
        f"the registry needs Docker Engine, which is off on purpose ({why})",
        f"{OFF[why]} and run again",
    )


@pytest.mark.parametrize(
    ("displaced", "remedy"),
    [
        (["remove containerd.io"], "install the engine that belongs to it (apt-get install docker-ce)"),
        (["remove containerd.io", "remove docker-ce-cli"], "install the engine that belongs to it (apt-get install docker-ce)"),
        (["remove docker-ce-cli", "remove docker-desktop"], "install the engine beside Docker Desktop (apt-get install docker-ce)"),
        (["remove moby-cli"], "install the engine that belongs to it (apt-get install moby-engine)"),
        (["remove podman-docker"],
         "Podman is in Docker's place there: put that host into cluster_nodes, or remove podman-docker"),
        (["upgrade containerd"], "install Docker Engine there as its documentation says"),
    ],
)  # fmt: skip
def test_no_package_is_removed_and_no_node_s_runtime_upgraded(displaced: list[str], remedy: str) -> None:
    docker_engine.check_displaced([])  # would raise
    with pytest.raises(Conflict) as stop:
        docker_engine.check_displaced(displaced)
    assert (stop.value.problem, stop.value.remedy) == (
        f"to install Docker Engine apt would {' and '.join(displaced)}",
        f"{remedy}, and run again",
    )


APT_GET = """#!/bin/sh
echo "$*" >> {folder}/asked
case "$*" in (*"-s install"*) cat {folder}/simulated ;; esac
"""
SIMULATED = """Reading package lists...
Remv containerd.io [1.7.27-1]
Remv docker-ce-cli [5:28.1.1-1]
Inst runc [1.1.5] (1.1.15 Debian:12.9/stable [amd64])
Inst libc6 [2.36] (2.36-9 Debian:12.9/stable [amd64])
Inst containerd (1.6.20 Debian:12.9/stable [amd64])
Conf docker.io (20.10 Debian:12.9/stable [amd64])
"""


def test_what_apt_says_of_packages_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "simulated").write_text(SIMULATED)
    for name, text in {"apt-get": APT_GET.format(folder=tmp_path), "docker": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = docker_engine.DisplacedFact().command()
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    displaced = ["remove containerd.io", "remove docker-ce-cli", "upgrade runc"]
    assert docker_engine.DisplacedFact().process(done.stdout.splitlines()) == displaced
    assert "install docker.io " in (tmp_path / "asked").read_text()
