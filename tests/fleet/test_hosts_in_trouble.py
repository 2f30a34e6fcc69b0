"""Some of many hosts fail: the others are finished, and the summary names each failed host, its problem and a remedy."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages, printed
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
    "free space there (df -h, df -i) and run again",
    "no-sudo": "neither root nor passwordless sudo; log in as root, or allow it in /etc/sudoers.d "
    "(USER ALL=(ALL) NOPASSWD: ALL), and run again",
    "unreadable": "what this host has could not be read (see above), and unknown is not taken as absent; fix that and run again",
}
WRONG: dict[str, dict[str, str | int]] = {
    "gone": {"ssh_port": 9},  # nothing listens there
    "keyless": {"ssh_key": "/nowhere/key"},
    "stranger": {"ssh_user": "nobody"},
    "reinstalled": {},  # its known_hosts file has another host's key for it
}
"""Data that lets nobody log in to the host `good`."""

UNFINISHED = (
    "the registry host nas is not finished, so no client is configured; fix that host first, and run again"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(dict.fromkeys(("nas", *CLIENTS), BOOKWORM_DOCKER), tmp_path_factory.mktemp("trouble"))
    try:
        registry_images.load(fleet.hosts["nas"])
        for name, data in WRONG.items():
            fleet.data[name] = fleet.data["good"] | data
        fleet.data["reinstalled"] |= {"ssh_known_hosts_file": fleet.data["full"]["ssh_known_hosts_file"]}
        known = Path(str(fleet.data["full"]["ssh_known_hosts_file"]))
        with known.open("a") as file:
            file.write(known.read_text().replace(fleet.hosts["full"].address, fleet.hosts["good"].address))
        yield fleet
    finally:
        fleet.remove()


def deployment_for(fleet: Fleet, folder: Path, *clients: str) -> Deployment:
    return Deployment(folder, fleet.inventory({"registry": ["nas"], "docker_hosts": ["nas", *clients]}))


def unreachable(fleet: Fleet, deployment: Deployment) -> dict[str, str]:
    """Return the lines that name the hosts with `WRONG` data, by host."""
    data = fleet.data["good"]
    address, key = data["ssh_hostname"], data["ssh_key"]
    other = fleet.data["reinstalled"]["ssh_known_hosts_file"]
    lines = deployment.inventory.read_text().splitlines()

    def line(
        name: str, problem: str, remedy: str, key: object = key, user: str = "op", port: str = ""
    ) -> str:
        place = next(
            (number for number, text in enumerate(lines, 1) if text.startswith(f"    ('{name}',")), 0
        )
        hosts = fleet.data[name]["ssh_known_hosts_file"]
        return (
            f"[{name}] cannot be reached: {problem}; {remedy}, and try: ssh {port}-i {key} -o UserKnownHostsFile={hosts} "
            f"-o StrictHostKeyChecking=yes {user}@{address} sudo -n true"
        ).replace("{here}", f"{deployment.inventory} line {place}")

    return {
        "gone": line(
            "gone",
            f"nothing accepts connections at {address} port 9",
            "start its SSH server, or correct ssh_port ({here})",
            port="-p 9 ",
        ),
        "keyless": line(
            "keyless",
            "its SSH key /nowhere/key does not exist",
            "correct ssh_key ({here})",
            key="/nowhere/key",
        ),
        "stranger": line(
            "stranger",
            f"the login as nobody with the key {key} was refused by {address} port 22",
            f"correct ssh_user ({{here}}), or let that key in (ssh-copy-id -i {key}.pub -o UserKnownHostsFile="
            f"{data['ssh_known_hosts_file']} -o StrictHostKeyChecking=yes nobody@{address})",
            user="nobody",
        ),
        "reinstalled": line(
            "reinstalled",
            f"its SSH host key is not the one in {other}: it was installed again, or another host has its address",
            f"if it was installed again, forget the old key (ssh-keygen -f {other} -R {address})",
        ),
    }


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
    deployment = deployment_for(fleet, tmp_path, *CLIENTS, *WRONG)
    for name, command in TROUBLE.items():
        fleet.hosts[name].run(command)
    try:
        ran = deployment.run(terminal=terminal)
    finally:
        for name, command in REPAIR.items():
            fleet.hosts[name].run(command)
    assert ran.exit_code == 1, ran.output
    assert "Traceback" not in ran.output
    failed = unreachable(fleet, deployment)
    expected = [*(f"[{name}] {problem}" for name, problem in PROBLEMS.items()), *failed.values()]
    assert sorted(ran.problems) == sorted(expected)
    assert all(ran.output.count(problem) == 1 for problem in expected), ran.output
    assert printed.row(ran.output, "Registry").startswith("https://registry.homelab.local  (")
    assert ran.trusted_by("Docker") == ["nas", "good"]
    assert ran.has_ca("Docker") == []
    assert_pasted_lines_fail_until_corrected(failed)

    after = deployment_for(fleet, tmp_path, *CLIENTS).run()
    assert after.exit_code == 0, after.output
    assert {name: bool(after.steps_on(name)) for name in ("nas", *CLIENTS)} == {
        "nas": False, "good": False, "full": True, "no-sudo": True, "unreadable": True,
    }  # fmt: skip


def assert_pasted_lines_fail_until_corrected(failed: dict[str, str]) -> None:
    for name, wrong, right in (("gone", "-p 9 ", ""), ("stranger", " nobody@", " op@")):
        command = failed[name].partition(", and try: ")[2]
        pasted = [
            subprocess.run(
                ["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
            )
            for line in (command, command.replace(wrong, right))
        ]
        assert [each.returncode for each in pasted] == [255, 0], pasted


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
    deployment = Deployment(tmp_path, fleet.inventory({"registry": ["gone"], "docker_hosts": ["good"]}))
    ran = deployment.run()
    assert ran.exit_code == 1, ran.output
    assert sorted(ran.problems) == [
        unreachable(fleet, deployment)["gone"],
        f"[good] {UNFINISHED.replace('nas', 'gone')}",
    ]
    assert good.run(f"ls {CERTS}", check=False).stdout == ""


def test_a_run_killed_during_the_clients_steps_is_finished_by_the_next(
    fleet: Fleet, tmp_path: Path, soak: bool
) -> None:
    deployment = deployment_for(fleet, tmp_path, *CLIENTS)

    def reset_everything() -> None:
        reset_all(fleet)
        shutil.rmtree(deployment.store.folder, ignore_errors=True)

    reset_everything()
    commands = deployment.run().commands
    client_commands = [
        number for number, line in enumerate(commands, 1) if " host" in line and " nas: " not in line
    ]
    for point in client_commands if soak else (client_commands[-1], client_commands[-6]):
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
        if "generate a password for " in line:
            running.send_signal(signal.SIGINT)
            break
    output += running.stdout.readlines()
    assert running.wait(60) == 130, "".join(output)
    assert re.search(
        r"^Interrupted after \d+ changes? in [\d.]+ s; the next run finishes what was begun\.$",
        "".join(output), re.MULTILINE,
    )  # fmt: skip
    assert "Traceback" not in "".join(output)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output


ODD = {
    # On purpose nothing but a question at its socket would start it.
    "good": "systemctl disable --now docker.service && systemctl is-active docker.socket "
    "&& cp /etc/hosts /tmp/hosts && umount /etc/hosts && cp /tmp/hosts /etc/hosts "
    "&& echo '# This file was automatically generated by WSL.' >> /etc/hosts",
    # A host of rootless Docker, as dockerd-rootless-setuptool.sh leaves it; /etc/hosts is a link, as on NixOS.
    "full": "systemctl disable --now docker.service docker.socket && systemctl mask docker.service docker.socket "
    "&& useradd -m ci && su ci -c 'mkdir -p ~/.config/systemd/user && touch ~/.config/systemd/user/docker.service' "
    "&& cp /etc/hosts /etc/hosts.real && umount /etc/hosts && ln -sf hosts.real /etc/hosts",
    # An administrator with csh, whose block list has a line in Latin-1.
    "no-sudo": "apt-get update -q && apt-get install -q -y tcsh && chsh -s /bin/tcsh op "
    "&& printf '192.0.2.20 drucker  # B\\374ro\\n' >> /etc/hosts && seq -f '0.0.0.0 ads-%.0f.example.org' 60000 >> /etc/hosts",
    # A virtual machine from a cloud image, in which cloud-init makes /etc/hosts at each boot.
    "unreadable": "mkdir -p /etc/cloud/templates && cd /etc/cloud/templates "
    "&& printf '## template:jinja\\n127.0.1.1 {{fqdn}} {{hostname}}\\n' > hosts.debian.tmpl "
    "&& echo \"# Your system has configured 'manage_etc_hosts' as True.\" >> /etc/hosts",
}
ENTRY = "registry.homelab.local # homelab-registry"


def test_hosts_of_every_kind_are_finished_and_nothing_is_switched_on(fleet: Fleet, tmp_path: Path) -> None:
    reset_all(fleet)
    for name, command in ODD.items():
        fleet.hosts[name].run(command)
    deployment = deployment_for(fleet, tmp_path, *CLIENTS)
    blocked = fleet.hosts["no-sudo"].run("base64 -w 0 /etc/hosts").stdout
    units = (
        "systemctl is-active docker.service docker.socket; systemctl is-enabled docker.service docker.socket"
    )
    before = {name: fleet.hosts[name].run(units, check=False).stdout for name in ("good", "full")}
    planned, ran = deployment.plan(), deployment.run()
    assert (planned.exit_code, ran.exit_code) == (0, 0), planned.output + ran.output
    for name in CLIENTS:
        assert planned.steps_on(name) == ran.steps_on(name)
    # Switched off, and neither asked nor started: not by the plan, not by the run.
    assert {name: fleet.hosts[name].run(units, check=False).stdout for name in before} == before
    for name, why in {"good": "disabled", "full": "masked"}.items():
        said = f"[{name}] Docker Engine is off on purpose (docker.service is {why}), and stays off"
        assert said in planned.output and said in ran.output  # noqa: PT018 - one claim
        assert (
            fleet.hosts[name].read(f"{CERTS}/registry.homelab.local/ca.crt")
            == deployment.store.ca_bundle_path.read_text()
        )
    rootless = "/home/ci/.config/docker/certs.d/registry.homelab.local/ca.crt"
    assert fleet.hosts["full"].run(f"stat -c %U {rootless}").stdout == "ci\n"

    linked = fleet.hosts["full"].run(f"readlink /etc/hosts; grep -c '{ENTRY}' /etc/hosts.real").stdout
    assert linked == "hosts.real\n1\n"
    added = (
        fleet.hosts["no-sudo"]
        .run("tail -n 1 /etc/hosts; head -n -1 /etc/hosts | base64 -w 0")
        .stdout.split("\n")
    )
    assert (added[0].endswith(ENTRY), added[1]) == (True, blocked)
    assert (
        fleet.hosts["unreadable"]
        .read("/etc/cloud/templates/hosts.debian.tmpl")
        .splitlines()[2]
        .endswith(ENTRY)
    )

    verified = deployment.verify("-k", "entry_in_etc_hosts or is_not_insecure or is_as_deployed")
    lost = "our entry in /etc/hosts will be lost, since WSL makes it at each start; set generateHosts = false below"
    assert f"[good] {lost}" in ran.output
    assert [line for line in verified.stdout.splitlines() if ": " in line and " [" in line] == [
        f"good: {lost} [network] in /etc/wsl.conf, and run make deploy INVENTORY={deployment.inventory}  [test_its_entry_in_etc_hosts_lasts[good]]"
    ], verified.stdout
    assert (
        "good: Docker Engine is off on purpose (docker.service is disabled), so it was asked nothing"
        in verified.stdout
    )
    assert {name: fleet.hosts[name].run(units, check=False).stdout for name in before} == before

    fleet.hosts["good"].run("echo 'Defaults requiretty' >> /etc/sudoers.d/op")
    again = deployment.run()
    assert (again.exit_code, again.steps) == (1, []), again.output
    assert again.problems == [
        "[good] neither root nor passwordless sudo (sudo: sorry, you must have a tty to run sudo); allow it without a "
        "terminal (the line Defaults !requiretty in /etc/sudoers.d), and run again"
    ]


def test_a_registry_host_whose_engine_is_off_is_told_how_to_switch_it_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    nas = fleet.hosts["nas"]
    nas.run("systemctl disable --now docker.service")
    ran = deployment_for(fleet, tmp_path).run()
    assert (
        nas.run("systemctl is-active docker.service docker.socket", check=False).stdout
        == "inactive\nactive\n"
    )
    assert (ran.exit_code, ran.steps) == (1, []), ran.output
    assert ran.problems == [
        "[nas] the registry needs Docker Engine, which is off on purpose (docker.service is disabled); "
        "switch it on (systemctl enable --now docker) and run again"
    ]
    nas.run(pages.in_text("docs/messages.md", "systemctl enable --now docker"))
    assert nas.run("systemctl is-active docker.service").stdout == "active\n"
