"""The workstation kit on Debian, by a user without rights but sudo: Docker, buildx' builder in a container, Podman, containerd."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from tests import pages
from tests.bench import registry_images
from tests.bench.hosts import BenchHost, Result
from tests.bench.programs import BUILDKIT
from tests.bench.recipes import TRIXIE_NODE
from tests.fleet.deployment import Deployment
from tests.fleet.test_docs import BUILD_BUILDER_IMAGE, BUILDER_IMAGE, UNTRUSTED

NAME = "registry.homelab.local"
BASE = f"{NAME}/test/base:1"
HOME = "/home/ann lee"
ROOTLESS = "uidmap rootlesskit slirp4netns"
ADD_USER = f"""
useradd -m -d '{HOME}' -s /bin/sh -G docker ann && echo 'ann ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ann
apt-get update -q && apt-get install -q -y --no-install-recommends {ROOTLESS}
mkdir -p /etc/containerd/certs.d /dev/net && mknod -m 666 /dev/net/tun c 10 200
"""
BUILD_BASE = "mkdir app; cd app; echo own > own; printf 'FROM scratch\\nCOPY own /base\\n' | docker build -q -t {BASE} -f - .; docker push -q {BASE}"
KEPT = ("docker", "containerd", "containers", "homelab-registry", "systemd")
"""Folders of /var/lib with images, and with what a system notes at any time."""

LISTED = (
    f"set -- /etc /home /root /var/lib {' '.join(f'-path /var/lib/{each} -prune -o' for each in KEPT)}\n"
    r"""find "$@" -printf '%y %m %u %p %l\n' | sort; find "$@" -type f -exec sha256sum {} + | sort -k 2"""
)
ROOTLESS_ENGINE = """
export XDG_RUNTIME_DIR=/tmp/ann PATH=$PATH:/usr/sbin:/sbin:/usr/share/docker.io/contrib DOCKER_HOST=unix:///tmp/ann/docker.sock
mkdir -p -m 700 /tmp/ann
"""
IN_PODMAN = "export STORAGE_DRIVER=vfs PODMAN_IGNORE_CGROUPSV1_WARNING=1"
RUN = pages.line("docs/workstation.md", "sh linux.sh").replace("linux.sh", "/tmp/linux.sh")
CHECK = pages.in_text("docs/workstation.md", "sh linux.sh --check").replace("linux.sh", "/tmp/linux.sh")
REMOVE = pages.in_text("docs/workstation.md", "sh linux.sh --remove").replace("linux.sh", "/tmp/linux.sh")
RECREATE = pages.in_text("docs/workstation.md", "sh linux.sh --recreate-builders").replace(
    "linux.sh", "/tmp/linux.sh"
)
CREATE = pages.line("docs/workstation.md", "docker buildx create --name homelab ")
BUILDER = f"docker buildx create --driver-opt {BUILDER_IMAGE} --driver-opt network=host --name"


@pytest.fixture(scope="module")
def host() -> Iterator[BenchHost]:
    host = BenchHost.start(TRIXIE_NODE)
    try:
        host.run("mount -o remount,rw /proc/sys")  # Docker 28 sets each container's IPv6 there
        host.run(ADD_USER)
        host.give(*BUILDKIT)
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def password(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Deploy a registry there, and give the user the kit; return the password of the account ci."""
    registry_images.load(host)
    host.run(BUILD_BUILDER_IMAGE)
    deployment = Deployment(tmp_path_factory.mktemp("workstation"), f"registry = ['@docker/{host.name}']\n")
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    folder, printed = deployment.kit()
    authority = deployment.store.read().authority
    assert authority
    assert printed.splitlines()[-1].strip() == authority.fingerprint
    host.write("/tmp/linux.sh", (folder / "linux.sh").read_text())
    return deployment.store.read().passwords["ci"]


def ann(host: BenchHost, command: str, *, stdin: str = "", check: bool = True) -> Result:
    """Run a shell command as the user, in her home."""
    return host.run(f"su - ann -c {shlex.quote(command)}", stdin=stdin, check=check)


def off(result: Result) -> list[str]:
    kinds = ("missing", "old", "left", "failed", "builder")
    return [line for line in result.stdout.splitlines() if line.startswith(kinds)]


def test_what_one_command_does_is_seen_and_taken_back_to_the_byte(host: BenchHost, password: str) -> None:
    before = host.run(LISTED).stdout
    checked = ann(host, CHECK, check=False)
    assert (checked.exit_code, len(off(checked))) == (1, 6), checked.stdout
    ran = ann(host, f"script -qec '{RUN}' /dev/null", stdin="y\n", check=False)  # at a terminal
    assert (ran.exit_code, off(ran)) == (0, []), ran.stdout + ran.stderr
    assert ann(host, CHECK).exit_code == 0
    done = host.run(LISTED).stdout
    assert len(before.splitlines()) > 1000
    assert len(set(done.splitlines()) - set(before.splitlines())) > 10
    ann(host, f"{RUN} </dev/null")
    assert host.run(LISTED).stdout == done
    ann(host, f"{REMOVE} --yes")
    assert host.run(LISTED).stdout == before


def test_docker_a_builder_and_podman_push_and_pull_within_a_minute(host: BenchHost, password: str) -> None:
    began = time.monotonic()
    ann(host, f"{BUILDER} before")
    first = ann(host, f"{RUN} --yes", check=False)
    assert off(first) == [
        f"builder: before was created before and does not trust {NAME}: --recreate-builders"
    ]
    ann(host, f"docker login -u ci --password-stdin {NAME}", stdin=password)
    ann(host, BUILD_BASE.format(BASE=BASE))
    ann(host, f"cd app && printf 'FROM {BASE}\\nCOPY own /own\\n' > Dockerfile")
    build = f"cd app && docker buildx build -q --push --builder {{0}} -t {NAME}/apps/{{0}}:1 ."
    assert UNTRUSTED in ann(host, build.format("before"), check=False).stderr
    assert ann(host, RECREATE).exit_code == 0
    ann(host, f"{CREATE} --driver-opt {BUILDER_IMAGE}")
    for builder in ("before", "homelab"):
        ann(host, build.format(builder))
        ann(host, f"docker pull -q {NAME}/apps/{builder}:1 && docker buildx rm {builder}")
    ann(host, f"{IN_PODMAN}; podman login -u ci --password-stdin {NAME}", stdin=password)
    copy = f"{NAME}/apps/podman:1"
    ann(host, f"{IN_PODMAN}; podman pull -q {BASE} && podman tag {BASE} {copy} && podman push -q {copy}")
    assert time.monotonic() - began < 60
    pull = f"ctr images pull --hosts-dir /etc/containerd/certs.d {copy}"
    assert "no basic auth credentials" in host.run(pull, check=False).stderr


def start_rootless_engine(host: BenchHost) -> None:
    start = "dockerd-rootless.sh --storage-driver vfs > /tmp/ann/log 2>&1"
    ann(host, f"{ROOTLESS_ENGINE} ({start} &)")
    host.wait_until("test -S /tmp/ann/docker.sock", 60, "the rootless Docker")


def test_a_rootless_docker_pushes_and_pulls(host: BenchHost, password: str) -> None:
    """It reads the file itself that is mounted over in a container."""
    ann(host, f"{REMOVE} --yes")
    host.run("cp /etc/hosts /tmp/hosts && umount /etc/hosts && cat /tmp/hosts > /etc/hosts")
    start_rootless_engine(host)
    pull, kit = f"{ROOTLESS_ENGINE} docker pull -q {BASE}", f"{ROOTLESS_ENGINE} {RUN}"
    assert "no such host" in ann(host, pull, check=False).stderr
    assert off(ann(host, f"{kit} --yes", check=False)) == [
        f"left: the rootless Docker read /etc/hosts before {NAME} was there: systemctl --user restart docker"
    ]
    ann(
        host,
        "kill $(cat /tmp/ann/docker.pid); while [ -e /tmp/ann/docker.pid ]; do sleep 0.1; done; rm -f /tmp/ann/docker.sock",
    )
    start_rootless_engine(host)
    assert ann(host, f"{kit} --check").exit_code == 0
    assert ann(host, pull).stdout == f"{BASE}\n"
    copy = f"{NAME}/apps/rootless:1"
    ann(host, f"{ROOTLESS_ENGINE} docker tag {BASE} {copy} && docker push -q {copy}")
    ann(host, f"{kit} --remove --yes")
    assert UNTRUSTED in ann(host, pull, check=False).stderr
    assert host.run(f"find /etc '{HOME}' -name '{NAME}*'").stdout == ""


def test_a_remote_builder_needs_the_file_out_of_the_way(host: BenchHost, password: str) -> None:
    """What the docs say of docker/buildx#2985."""
    create = pages.in_text("docs/workstation.md", "docker buildx create --driver remote")
    create += " --name far tcp://192.0.2.1:1234"
    ann(host, f"{RUN} --yes")
    assert "setting config file is not supported for remote driver" in ann(host, create, check=False).stderr
    ann(
        host,
        f"cd .docker/buildx && mv buildkitd.default.toml kept && {create}; mv kept buildkitd.default.toml",
    )
    assert ann(host, f"{CHECK} && docker buildx rm far").exit_code == 0
