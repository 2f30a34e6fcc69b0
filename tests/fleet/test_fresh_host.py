"""As a new user: a fresh clone on a bare Debian 12, the README's commands, an image of one's own pushed and pulled.

Everything happens inside the host, which has no Docker, no pip and no sudo. Once it boots with systemd, once
nothing but a shell runs there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM

ROOT = Path(__file__).parents[2]
PROJECT = "/root/homelab-registry"


@pytest.fixture(scope="module", params=[True, False], ids=["systemd", "no systemd"])
def bare(request: pytest.FixtureRequest) -> Iterator[BenchHost]:
    host = BenchHost.start(BOOKWORM, systemd=request.param)
    assert host.run("command -v docker dockerd pip sudo curl", check=False).stdout == ""
    copy_project(host)
    yield host
    host.remove()


def copy_project(host: BenchHost, project: str = PROJECT) -> None:
    """Give the host what a clone would hold: the files that git knows, as they are in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = subprocess.run(
        ["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=names, capture_output=True, check=True
    ).stdout
    subprocess.run(
        ["docker", "exec", "-i", host.name, "sh", "-c", f"mkdir -p {project} && tar -x -C {project}"],
        input=archive, check=True,
    )  # fmt: skip


def make(host: BenchHost, target: str) -> str:
    ran = host.run(f"cd {PROJECT} && make {target} 2>&1", check=False, timeout=900)
    assert ran.exit_code == 0, ran.stdout
    return ran.stdout


def steps(output: str) -> list[str]:
    return [line.partition("step: ")[2] for line in output.splitlines() if "step: " in line]


def test_from_a_bare_machine_to_an_image_pulled(bare: BenchHost) -> None:
    planned = make(bare, "plan")
    assert (
        bare.run("ls /etc/homelab-registry /etc/docker /var/lib/homelab-registry state", check=False).stdout
        == ""
    )
    assert bare.run(f"ls {PROJECT}/state", check=False).stdout == ""
    deployed = make(bare, "deploy")
    assert steps(planned) == steps(deployed)
    assert steps(planned)[0].startswith("install Docker Engine from the distribution's packages")
    assert "The registry answers at https://registry.homelab.local" in deployed
    assert "renew     by 20" in deployed
    assert "[@local] Docker trusts registry.homelab.local" in deployed

    again = make(bare, "deploy")
    assert steps(again) == []
    assert again.count("noop: ") == 6
    assert "Nothing is to be done." in make(bare, "plan")

    # What the end of the run tells the user to type, to the letter.
    (login,) = [line.split("log in", 1)[1].strip() for line in deployed.splitlines() if "log in " in line]
    assert "Login Succeeded" in bare.run(f"cd {PROJECT} && {login} 2>&1").stdout
    bare.run(
        "printf 'my own' > /tmp/hello && tar -c -C /tmp hello | docker import - registry.homelab.local/mine:v1"
        " && docker push registry.homelab.local/mine:v1 && docker rmi registry.homelab.local/mine:v1"
    )
    bare.run(
        "docker pull registry.homelab.local/mine:v1 && docker create --name mine registry.homelab.local/mine:v1 x"
    )
    assert bare.run("docker cp mine:/hello - | tar -xO").stdout == "my own"
    assert " passed" in make(bare, "verify")


def test_a_host_that_was_rebooted_serves_again(bare: BenchHost) -> None:
    """The engine is ended as a reboot ends it, and started by the next run where nothing else does."""
    if bare.run("test -d /run/systemd/system", check=False).exit_code == 0:
        bare.run("systemctl stop docker.socket docker")
    else:
        bare.run("kill $(cat /var/run/docker-ssd.pid)")
        bare.wait_until("! docker info", 30, "the end of Docker Engine")
    assert steps(make(bare, "deploy"))[0] == "start Docker Engine: it is not running"
    assert steps(make(bare, "deploy")) == []
    assert " passed" in make(bare, "verify")


def test_a_full_disk_under_the_state_is_one_line_and_changes_nothing(bare: BenchHost) -> None:
    """A state of its own on a file system of two pages, which the run is to fill with a new authority."""
    bare.run("mkdir -p /full && mount -t tmpfs -o size=8k tmpfs /full")
    adopt = "pyinfra -y --data registry_state_dir=/full/state inventories/local.py deploys/adopt.py"
    served = "sha256sum /etc/homelab-registry/gateway/tls/tls.pem /etc/docker/certs.d/*/ca.crt"
    before = bare.run(served).stdout
    failed = bare.run(f"cd {PROJECT} && .venv/bin/{adopt} 2>&1", check=False)
    assert failed.exit_code == 1
    assert "Traceback" not in failed.stdout
    *_, said = [line.strip() for line in failed.stdout.splitlines() if line.strip()]
    assert said == (
        "[@local] could not make a certificate authority in /full/state: on this machine: No space left on device; "
        "free space there (df -h) and run again"
    )
    assert bare.run(served).stdout == before
    bare.run("mount -o remount,size=1m /full")
    done = bare.run(f"cd {PROJECT} && .venv/bin/{adopt} 2>&1", check=False)
    assert done.exit_code == 0, done.stdout
    bare.run(f"umount /full && cd {PROJECT} && .venv/bin/pyinfra -y inventories/local.py deploys/adopt.py")
