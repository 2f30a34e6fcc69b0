"""The steps of a new user: a fresh clone on a bare Debian 12, the README's commands, a first image pushed and pulled.

Everything happens inside the host, which has no Docker, no pip and no sudo. tests/fleet/test_trouble.py installs Docker
Engine on a host without systemd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests import pages, printed
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_NODE
from tests.chain.fake_hub import hub
from tests.fleet.clone import copy_project
from tests.printed import steps

PROJECT = "/root/homelab-registry"


# The image of these tests has container software; removing it leaves what Debian's installer would.
MAKE_BARE = (
    "export DEBIAN_FRONTEND=noninteractive SUDO_FORCE_REMOVE=yes; "
    "apt-get purge -q -y --autoremove docker.io containerd runc podman sudo strace "
    "&& rm -rf /etc/docker /etc/containerd /etc/containers /var/lib/docker/* /var/lib/containerd/* /var/lib/containers/*"
)


@pytest.fixture(scope="module")
def bare() -> Iterator[BenchHost]:
    host = BenchHost.start(BOOKWORM_NODE, "bare")
    try:
        host.run(MAKE_BARE)
        host.run(pages.line("README.md", "apt-get update "), environment=BenchHost.package_environment())
        give_project(host)
        yield host
    finally:
        host.remove()


def give_project(host: BenchHost) -> None:
    """Check that the host has none of the programs that the project could use, and copy the project to it."""
    assert (
        host.run(
            "for each in docker dockerd containerd pip sudo curl; do command -v $each; done", check=False
        ).stdout
        == ""
    )
    copy_project(host, PROJECT)


def make(host: BenchHost, target: str) -> str:
    ran = host.run(f"cd {PROJECT} && make {target} 2>&1", check=False, timeout=900)
    assert ran.exit_code == 0, ran.stdout
    return ran.stdout


def test_a_new_host_is_deployed_and_serves_an_image(bare: BenchHost) -> None:
    planned = make(bare, "plan")
    assert (
        bare.run("ls /etc/homelab-registry /etc/docker /var/lib/homelab-registry state", check=False).stdout
        == ""
    )
    assert bare.run(f"ls {PROJECT}/state", check=False).stdout == ""
    deployed = make(bare, "deploy")
    assert steps(planned) == steps(deployed)
    assert steps(planned)[0].startswith("install Docker Engine from the distribution's packages")
    assert printed.row(deployed, "Registry").startswith("https://registry.homelab.local  (")
    assert printed.row(deployed, "Trusted by") == "@local (Docker)"
    assert printed.row(deployed, "Certificate").startswith("until 20")

    again = make(bare, "deploy")
    assert steps(again) == []
    assert "Nothing to do on 1 host (" in again
    assert "Nothing to do on 1 host (" in make(bare, "plan")

    login, push = printed.to_paste(deployed, "Push your first image")
    assert [pages.line("README.md", "docker login "), pages.line("README.md", "docker pull alpine ")] == [
        login,
        push,
    ]
    assert "Login Succeeded" in bare.run(f"cd {PROJECT} && {login} 2>&1").stdout
    with hub(bare):
        bare.run(push)
    assert "Image is up to date" in bare.run(pages.line("README.md", "docker pull registry.")).stdout
    bare.run(
        "printf 'my own' > /tmp/hello && tar -c -C /tmp hello | docker import - registry.homelab.local/mine:v1"
        " && docker push registry.homelab.local/mine:v1 && docker rmi registry.homelab.local/mine:v1"
    )
    bare.run(
        "docker pull registry.homelab.local/mine:v1 && docker create --name mine registry.homelab.local/mine:v1 x"
    )
    assert bare.run("docker cp mine:/hello - | tar -xO").stdout == "my own"
    assert " passed" in make(bare, "verify")


def test_a_rebooted_host_serves_again(bare: BenchHost) -> None:
    """Stop Docker Engine as a reboot does; the next run starts it if nothing else does."""
    if bare.run("test -d /run/systemd/system", check=False).exit_code == 0:
        bare.run("systemctl stop docker.socket docker")
    else:
        bare.run("kill $(cat /var/run/docker-ssd.pid)")
        bare.wait_until("! docker info", 30, "the end of Docker Engine")
    assert steps(make(bare, "deploy"))[0] == "start Docker Engine: it is not running"
    assert steps(make(bare, "deploy")) == []
    assert " passed" in make(bare, "verify")


def test_a_full_disk_for_the_state_is_reported_in_one_line_and_changes_nothing(bare: BenchHost) -> None:
    """A separate state on a file system of two pages, too small for a new CA."""
    aside = pages.line("docs/lost-or-stolen.md", "mv state/yours state/yours.stolen").replace(
        "yours", "local"
    )
    bare.run(f"mkdir -p /full && mount -t tmpfs -o size=8k tmpfs /full; cd {PROJECT} && {aside}")
    adopt = "pyinfra -y --data registry_state_dir=/full/state inventories/local.py deploys/adopt.py"
    served = "sha256sum /etc/homelab-registry/gateway/tls/current.pem /etc/docker/certs.d/*/ca.crt"
    before = bare.run(served).stdout
    failed = bare.run(f"cd {PROJECT} && .venv/bin/{adopt} 2>&1", check=False)
    assert failed.exit_code == 1
    assert "Traceback" not in failed.stdout
    *_, last_line = [line.strip() for line in failed.stdout.splitlines() if line.strip()]
    assert last_line == (
        "[@local] could not make a certificate authority in /full/state: on this machine: No space left on device; "
        "free space there (df -h, df -i) and run again"
    )
    assert bare.run(served).stdout == before
    bare.run("mount -o remount,size=1m /full")
    done = bare.run(f"cd {PROJECT} && .venv/bin/{adopt} 2>&1", check=False)
    assert done.exit_code == 0, done.stdout
    bare.run(f"umount /full && cd {PROJECT} && mv -T state/local.stolen state/local")
    make(bare, "adopt")


def test_a_backup_is_made_and_put_back_as_the_page_says(bare: BenchHost) -> None:
    """gpg gets the passphrase from its configuration, since nobody is there to be asked."""
    bare.run(
        "apt-get install -q -y gnupg && mkdir -p /media/backup /root/elsewhere && mkdir -m 700 /root/.gnupg"
    )
    bare.write("/root/.gnupg/gpg.conf", "batch\npinentry-mode loopback\npassphrase canary\n", "0600")
    backup = pages.block("docs/lost-or-stolen.md", "file=")
    made = bare.run(f"cd {PROJECT} && bash -s", stdin=backup).stdout
    file = made.removesuffix(" is complete\n")
    assert bare.run(f"stat -c %a {file}").stdout == "600\n"
    there = pages.line("docs/lost-or-stolen.md", "mkdir homelab-registry ")
    read = pages.line("docs/lost-or-stolen.md", "gpg -d ")
    bare.run(f"cd /root/elsewhere && {there} && {re.sub(r'/media/backup/[^ ]+', file, read)}")
    bare.run(f"diff -r --exclude=.venv {PROJECT} /root/elsewhere/homelab-registry")
    assert bare.run(f"cat {PROJECT}/state/local/authorities/*/*").stdout != ""
