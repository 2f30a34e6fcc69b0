"""Some of many hosts fail: the others are finished, and the summary names each failed host, its problem and a remedy."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import registry_images
from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.deployment import ROOT, Deployment

CLIENTS = ("good", "full", "no-sudo", "unreadable")
CERTS = "/etc/docker/certs.d"

TROUBLE = {
    "full": f"mkdir -p {CERTS} && mount -t tmpfs -o size=4k,mode=0755 tmpfs {CERTS} && head -c 4096 /dev/zero > {CERTS}/full",
    "no-sudo": "mv /etc/sudoers.d/op /root/op",
    "unreadable": "printf '#!/bin/sh\\nexit 1\\n' > /usr/local/bin/base64 && chmod 0755 /usr/local/bin/base64",
}
REPAIR = {
    "full": f"umount {CERTS}",
    "no-sudo": "mv /root/op /etc/sudoers.d/op",
    "unreadable": "rm /usr/local/bin/base64",
}
PROBLEMS = {
    "full": "could not write /etc/docker/certs.d/registry.homelab.local/ca.crt: head: write error: No space left on device; "
    "free space there (df -h) and run again",
    "no-sudo": "neither root nor passwordless sudo; log in as root, or allow it in /etc/sudoers.d "
    "(USER ALL=(ALL) NOPASSWD: ALL), and run again",
    "unreadable": "what this host has could not be read (see above), and unknown is not taken as absent; fix that and run again",
    "gone": "cannot be reached (see above); switch it on, or correct its address and login, and run again",
}
UNFINISHED = "the registry host nas is not finished, so no client is configured; fix that host first, or take it into --limit, and run again"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(dict.fromkeys(("nas", *CLIENTS), BOOKWORM_DOCKER), tmp_path_factory.mktemp("trouble"))
    try:
        registry_images.load(fleet.hosts["nas"])
        # Nothing listens on that port.
        fleet.data["gone"] = fleet.data["good"] | {"ssh_port": 9}
        yield fleet
    finally:
        fleet.remove()


def deployment_for(fleet: Fleet, folder: Path, *clients: str) -> Deployment:
    return Deployment(folder, fleet.inventory({"registry": ["nas"], "docker_hosts": ["nas", *clients]}))


def reset(host: BenchHost) -> None:
    host.run(
        "docker ps -aq | xargs -r docker rm -f; docker network rm homelab-registry; "
        f"rm -rf /etc/homelab-registry /var/lib/homelab-registry {CERTS}; "
        "sed '/homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
        check=False,
    )


def reset_all(fleet: Fleet) -> None:
    for host in fleet.hosts.values():
        reset(host)


@pytest.mark.parametrize("terminal", [False, True], ids=["no terminal", "terminal"])
def test_healthy_hosts_are_finished_and_each_failed_host_is_named(
    fleet: Fleet, tmp_path: Path, terminal: bool
) -> None:
    reset_all(fleet)
    deployment = deployment_for(fleet, tmp_path, *CLIENTS, "gone")
    for name, command in TROUBLE.items():
        fleet.hosts[name].run(command)
    try:
        ran = deployment.run(terminal=terminal)
    finally:
        for name, command in REPAIR.items():
            fleet.hosts[name].run(command)
    assert ran.exit_code == 1, ran.output
    assert "Traceback" not in ran.output
    assert sorted(ran.problems) == sorted(f"[{name}] {problem}" for name, problem in PROBLEMS.items())
    assert "The registry answers at https://registry.homelab.local" in ran.output
    for name in ("nas", "good"):
        assert f"[{name}] Docker trusts registry.homelab.local" in ran.output
    for name in PROBLEMS:
        assert f"[{name}] Docker trusts" not in ran.output

    after = deployment_for(fleet, tmp_path, *CLIENTS).run()
    assert after.exit_code == 0, after.output
    assert {name: bool(after.steps_on(name)) for name in ("nas", *CLIENTS)} == {
        "nas": False, "good": False, "full": True, "no-sudo": True, "unreadable": True,
    }  # fmt: skip


@pytest.mark.parametrize("plan", [False, True], ids=["run", "plan"])
def test_a_failed_registry_host_stops_the_run_before_any_client_is_configured(
    fleet: Fleet, tmp_path: Path, plan: bool
) -> None:
    reset_all(fleet)
    nas = fleet.hosts["nas"]
    nas.run(TROUBLE["no-sudo"])
    try:
        ran = deployment_for(fleet, tmp_path, *CLIENTS).run("--dry" if plan else "-y")
    finally:
        nas.run(REPAIR["no-sudo"])
    assert ran.exit_code == 1, ran.output
    assert sorted(ran.problems) == sorted(
        [f"[nas] {PROBLEMS['no-sudo']}", *(f"[{name}] {UNFINISHED}" for name in CLIENTS)]
    )
    assert ran.steps == []
    for name in CLIENTS:
        assert (
            fleet.hosts[name]
            .run(f"ls {CERTS} 2>/dev/null; grep homelab-registry /etc/hosts", check=False)
            .stdout
            == ""
        )


def test_an_unreachable_registry_host_is_reported_and_no_client_is_changed(
    fleet: Fleet, tmp_path: Path
) -> None:
    good = fleet.hosts["good"]
    reset(good)
    ran = Deployment(tmp_path, fleet.inventory({"registry": ["gone"], "docker_hosts": ["good"]})).run()
    assert ran.exit_code == 1, ran.output
    assert sorted(ran.problems) == [
        f"[gone] {PROBLEMS['gone']}",
        f"[good] {UNFINISHED.replace('nas', 'gone')}",
    ]
    assert good.run(f"ls {CERTS}", check=False).stdout == ""


def test_a_run_killed_during_the_clients_steps_is_finished_by_the_next(fleet: Fleet, tmp_path: Path) -> None:
    deployment = deployment_for(fleet, tmp_path, *CLIENTS)

    def reset_everything() -> None:
        reset_all(fleet)
        shutil.rmtree(deployment.store.folder, ignore_errors=True)

    reset_everything()
    commands = deployment.run().commands
    client_commands = [
        number for number, line in enumerate(commands, 1) if " host" in line and " nas: " not in line
    ]
    for point in (client_commands[-1], client_commands[-4], client_commands[-7]):
        reset_everything()
        killed = deployment.run(kill_after=point)
        assert killed.exit_code == -9, killed.output
        ran = deployment.run()
        assert ran.exit_code == 0, ran.output
        assert deployment.run().steps == []


def test_ctrl_c_ends_with_130_and_says_that_the_next_run_continues(fleet: Fleet, tmp_path: Path) -> None:
    deployment = deployment_for(fleet, tmp_path, *CLIENTS)
    reset_all(fleet)
    running = subprocess.Popen(
        [sys.executable, "-m", "pyinfra", "-y", str(deployment.inventory), "deploy.py"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert running.stdout
    output = []
    for line in running.stdout:
        output.append(line)
        if "Starting operation: " in line and "accounts" in line:
            running.send_signal(signal.SIGINT)
            break
    output += running.stdout.readlines()
    assert running.wait(60) == 130, "".join(output)
    assert "Interrupted: the next run finishes what was begun." in "".join(output)
    assert "Traceback" not in "".join(output)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
