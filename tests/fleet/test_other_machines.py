"""The commands of docs/other-machines.md, pasted on a real host: buildx, Docker in Docker, `ctr`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.programs import BUILDKIT
from tests.bench.recipes import TRIXIE_NODE
from tests.fleet.deployment import Deployment

ROOT = Path(__file__).parents[2]
NAME = "registry.homelab.local"
BASE = f"{NAME}/test/base:1"
UNTRUSTED = "certificate signed by unknown authority"
BUILDER_IMAGE = "image=buildkit:bench"
"""Built from BuildKit's own modules: the image that buildx takes by default is on Docker Hub."""

BUILD_BUILDER_IMAGE = """
mkdir -p /tmp/builder/usr/bin /tmp/builder/tmp && cd /tmp/builder
cp /usr/local/bin/buildkitd /usr/local/bin/buildctl "$(command -v runc)" usr/bin
for library in $(ldd usr/bin/runc | grep -o '/[^ ]*'); do mkdir -p ".${library%/*}"; cp -L "$library" ".$library"; done
tar -c . | docker import -c 'ENTRYPOINT ["/usr/bin/buildkitd"]' -c 'ENV PATH=/usr/bin' - buildkit:bench
"""
BUILD_DIND_IMAGE = """
tar -C / --one-file-system --exclude=./usr/share --exclude=./var --exclude=./tmp --exclude=./root --exclude=./etc/docker -c . |
    docker import -c 'CMD ["dockerd", "--host", "unix:///var/run/docker.sock"]' -c 'VOLUME /var/lib/docker' - docker:dind
"""


def commands() -> list[str]:
    """Return the lines of the page that are to be pasted."""
    page = (ROOT / "docs/other-machines.md").read_text()
    return re.findall(r"^ {4,}((?:docker|ctr) .*)", page, re.MULTILINE)


def command(beginning: str) -> str:
    """Return the page's one command with this beginning."""
    (found,) = [line for line in commands() if line.startswith(beginning)]
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchHost]:
    """A registry on a host that Docker and containerd of are served; the ci account is logged in as root."""
    host = BenchHost.start(TRIXIE_NODE)
    host.run("mount -o remount,rw /proc/sys")  # Docker 28 sets each container's IPv6 there
    registry_images.load(host)
    target = f"@docker/{host.name}"
    groups = ("registry", "docker_hosts", "cluster_nodes")
    hosts = "".join(f"{group} = [{target!r}]\n" for group in groups)
    deployment = Deployment(tmp_path_factory.mktemp("other"), hosts, registry_runtime=["containerd"])
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    passwords = deployment.store.read().passwords
    host.run(f"docker login -u ci --password-stdin {NAME}", stdin=passwords["ci"])
    host.run(f"echo x > /tmp/x; tar -c -C /tmp x | docker import - {BASE}; docker push -q {BASE}")
    host.write("/root/app/Dockerfile", f"FROM {BASE}\nCOPY own /own\n")
    host.write("/root/app/own", "own")
    yield host
    host.remove()


def test_a_builder_in_a_container_pulls_and_pushes(host: BenchHost) -> None:
    host.give(*BUILDKIT)
    host.run(BUILD_BUILDER_IMAGE)
    page = (ROOT / "docs/other-machines.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    host.write("/root/app/buildkitd.toml", toml)
    create = f"{command('docker buildx create ')} --driver-opt {BUILDER_IMAGE}"
    build = f"cd /root/app && {command('docker buildx build ')}"
    host.run(f"cd /root/app && {create.replace(' --buildkitd-config buildkitd.toml', '')}")
    assert UNTRUSTED in host.run(build, check=False).stderr
    host.run(f"docker buildx rm homelab && cd /root/app && {create}")
    host.run(build)
    host.run("docker buildx rm homelab")
    host.run(f"docker create -q --name web {NAME}/apps/web:1 /own")
    assert host.run("docker cp web:/own - | tar -xO; docker rm web").stdout == "ownweb\n"


def test_docker_in_docker_pulls(host: BenchHost) -> None:
    host.run(BUILD_DIND_IMAGE)
    start = command("docker run -d --privileged ").replace("192.0.2.10", host.address)
    pull = f"docker exec dind docker pull -q {BASE}"
    host.run(re.sub(r" -v \S+", "", start))
    host.wait_until("docker exec dind docker info", 60, "Docker in Docker")
    assert UNTRUSTED in host.run(pull, check=False).stderr
    host.run(f"docker rm -f -v dind && {start}")
    host.wait_until("docker exec dind docker info", 60, "Docker in Docker")
    assert "no basic auth credentials" in host.run(pull, check=False).stderr
    host.run(
        "docker exec dind mkdir -p /root/.docker && docker cp -q /root/.docker/config.json dind:/root/.docker/"
    )
    assert host.run(pull).stdout == f"{BASE}\n"
    host.run("docker rm -f -v dind")


def test_ctr_needs_the_folder(host: BenchHost) -> None:
    pull = command("ctr ").replace(f"{NAME}/apps/web:1", BASE)
    without_login = pull.replace(" --user cluster", "")
    assert "no basic auth credentials" in host.run(without_login, check=False).stderr
    no_folder = without_login.replace(" --hosts-dir /etc/containerd/certs.d", "")
    assert UNTRUSTED in host.run(no_folder, check=False).stderr
