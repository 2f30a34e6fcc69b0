"""The commands of the pages, pasted on a real host: buildx, Docker in Docker, `ctr`; making room, a copy of the images, another disk."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.programs import BUILDKIT
from tests.bench.recipes import TRIXIE_NODE
from tests.fleet.deployment import Deployment
from tests.gateway.gateway import Gateway
from tests.gateway.limit import check_limit

ROOT = Path(__file__).parents[2]
NAME = "registry.homelab.local"
BASE = f"{NAME}/test/base:1"
STORAGE, TANK, BACKUP = (
    "/var/lib/homelab-registry",
    "/mnt/tank/homelab-registry",
    "/mnt/backup/homelab-registry",
)
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

PUSHING = f"""
while [ -e /root/pushing ]; do
    number=$((${{number:-0}} + 1)); image={NAME}/new-$number:1
    date +%N > /tmp/pushing && tar -c /tmp/pushing | docker import - $image > /dev/null && docker push -q $image
done
echo done
"""


# The other hosts of the pages are this one.
OTHER_NAMES = """
Host HOST CONTROLLER nas newhost
  HostName localhost
  StrictHostKeyChecking accept-new
  LogLevel ERROR
"""
LOG_IN = "cd /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f id_ed25519 && cp id_ed25519.pub authorized_keys"
RUNTIMES = ["containerd", "podman"]


@pytest.fixture(scope="module")
def host() -> Iterator[BenchHost]:
    host = BenchHost.start(TRIXIE_NODE)
    try:
        host.write("/root/.ssh/config", OTHER_NAMES)
        host.run(LOG_IN)
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def deployment(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry on a host that Docker and containerd of are served; the ci account is logged in as root."""
    host.run("mount -o remount,rw /proc/sys")  # Docker 28 sets each container's IPv6 there
    registry_images.load(host)
    target = f"@docker/{host.name}"
    groups = ("registry", "docker_hosts", "cluster_nodes")
    hosts = "".join(f"{group} = [{target!r}]\n" for group in groups)
    deployment = Deployment(tmp_path_factory.mktemp("docs"), hosts, registry_runtime=RUNTIMES)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    passwords = deployment.store.read().passwords
    host.run(f"docker login -u ci --password-stdin {NAME}", stdin=passwords["ci"])
    host.run(f"echo x > /tmp/x; tar -c -C /tmp x | docker import - {BASE}; docker push -q {BASE}")
    host.write("/root/app/Dockerfile", f"FROM {BASE}\nCOPY own /own\n")
    host.write("/root/app/own", "own")
    return deployment


@pytest.mark.usefixtures("deployment")
def test_a_builder_in_a_container_pulls_and_pushes(host: BenchHost) -> None:
    host.give(*BUILDKIT)
    host.run(BUILD_BUILDER_IMAGE)
    host.write("/root/app/buildkitd.toml", pages.block("docs/other-machines.md", '[registry."registry.'))
    create = pages.line("docs/other-machines.md", "docker buildx create ")
    create += f" --driver-opt {BUILDER_IMAGE}"
    build = f"cd /root/app && {pages.line('docs/other-machines.md', 'docker buildx build ')}"
    remove = pages.in_text("docs/other-machines.md", "docker buildx rm ")
    host.run(f"cd /root/app && {create.replace(' --buildkitd-config buildkitd.toml', '')}")
    assert UNTRUSTED in host.run(build, check=False).stderr
    host.run(f"{remove} && cd /root/app && {create}")
    host.run(build)
    host.run(remove)
    host.run(f"docker create -q --name web {NAME}/apps/web:1 /own")
    assert host.run("docker cp web:/own - | tar -xO; docker rm web").stdout == "ownweb\n"


def test_at_the_storage_limit_no_upload_begins_and_all_else_goes_on(
    host: BenchHost, deployment: Deployment
) -> None:
    """Here the gateway is nginx 1.26; tests/gateway has it with 1.22."""
    check_limit(Gateway(host, deployment, "2.8"))
    host.run(f"rm -r {STORAGE}/docker/registry/v2/repositories/limit")  # no client would pull these


@pytest.mark.usefixtures("deployment")
def test_a_host_is_ready_for_an_inventory(host: BenchHost) -> None:
    host.run(f"{pages.in_text('README.md', 'ssh HOST ')} </dev/null")
    host.run(f"{pages.in_text('README.md', 'ssh root@HOST ')} </dev/null")


@pytest.mark.usefixtures("deployment")
def test_docker_builds_and_pushes(host: BenchHost) -> None:
    build = pages.line("README.md", "docker build ").replace("registry.home.arpa", NAME)
    host.run(f"cd /root/app && {build.replace('web:1', 'built:1')}")


@pytest.mark.usefixtures("deployment")
def test_docker_in_docker_pulls(host: BenchHost) -> None:
    host.run(BUILD_DIND_IMAGE)
    start = pages.line("docs/other-machines.md", "docker run -d --privileged ")
    start = start.replace("192.0.2.10", host.address)
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


@pytest.mark.usefixtures("deployment")
def test_ctr_needs_the_folder(host: BenchHost) -> None:
    pull = pages.line("docs/other-machines.md", "ctr ").replace(f"{NAME}/apps/web:1", BASE)
    without_login = pull.replace(" --user cluster", "")
    assert "no basic auth credentials" in host.run(without_login, check=False).stderr
    no_folder = without_login.replace(" --hosts-dir /etc/containerd/certs.d", "")
    assert UNTRUSTED in host.run(no_folder, check=False).stderr


def is_reached(host: BenchHost) -> bool:
    """Return whether the registry's port is open for this machine."""
    try:
        with socket.create_connection((host.address, 443), 3):
            return True
    except TimeoutError:
        return False


@pytest.mark.usefixtures("deployment")
def test_what_messages_say_to_look_at_shows_it(host: BenchHost) -> None:
    host.run("command -v nft || { apt-get update -q && apt-get install -q -y nftables; }")
    served = pages.in_text("docs/messages.md", "openssl s_client -connect registry.")
    shown = pages.in_text("docs/messages.md", "openssl s_client -connect NAME:443").replace("NAME", NAME)
    for look, expected in {
        f"{served} 2>&1": NAME,
        f"{shown} </dev/null 2>&1": "-----BEGIN CERTIFICATE-----",
        pages.in_text("docs/messages.md", "ss -ltnp "): "docker-proxy",
        pages.in_text("docs/messages.md", "iptables-save "): "--dport 443",
        pages.in_text("docs/messages.md", "nft list ruleset"): "dport 443",
        pages.in_text("docs/messages.md", "journalctl -u docker"): "dockerd",
        f"{pages.in_text('docs/messages.md', 'docker logs homelab-registry')} 2>&1": "level=error",
        pages.in_text("docs/messages.md", "docker logs homelab-registry-gateway"): '"account":"ci"',
    }.items():
        assert expected in host.run(look).stdout, look


@pytest.mark.usefixtures("deployment")
def test_rules_of_the_firewall_keep_others_out(host: BenchHost) -> None:
    """The rules of the page, which lets in a network that this machine is not in."""
    networks = pages.line("docs/how-it-works.md", "iptables -I DOCKER-USER -p tcp -m conntrack")
    connections = pages.line("docs/how-it-works.md", "iptables -I DOCKER-USER -p tcp --syn")
    assert is_reached(host)
    for rule, reached in ((networks, False), (connections, True)):
        host.run(rule)
        assert is_reached(host) == reached, rule
        host.run(rule.replace("-I", "-D", 1))
        assert is_reached(host)


@pytest.mark.usefixtures("deployment")
def test_what_an_account_pushed_is_in_the_log(host: BenchHost) -> None:
    push(host, f"{NAME}/apps/logged:1")
    look = pages.line("docs/lost-or-stolen.md", "docker logs ")
    host.wait_until(f"{look} | grep -q /v2/apps/logged/manifests/1", 10, "the push in the log")


def push(host: BenchHost, reference: str, megabytes: int = 0) -> str:
    """Push a new image, and return its digest."""
    size = f"head -c {megabytes * 2**20} /dev/urandom > /tmp/new/x" if megabytes else "date +%N > /tmp/new/x"
    host.run(
        f"mkdir -p /tmp/new && {size} && tar -c -C /tmp/new x | docker import - {reference} && docker push -q {reference}"
    )
    inspect = f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {reference}"
    return host.run(inspect).stdout.strip().rpartition("@")[2]


def used(host: BenchHost) -> int:
    """Return how many megabytes the images use."""
    return int(host.run(f"du -sm {STORAGE}").stdout.split()[0])


def test_room_is_made_of_what_lost_its_tag(host: BenchHost, deployment: Deployment) -> None:
    repository = f"{NAME}/apps/again"
    push(host, f"{repository}:1", 20)
    latest = push(host, f"{repository}:1", 20)
    push(host, f"{NAME}/apps/web:old", 10)
    login = pages.line("docs/by-task.md", "skopeo login -u admin ")
    password = deployment.store.read().passwords["admin"]
    host.write("/root/state/yours/accounts/admin.password", password, "0600")
    host.run(f"cd /root && {login}")
    host.run(pages.line("docs/by-task.md", "skopeo delete docker://registry.homelab.local/apps/web:old"))
    host.run(f"find {STORAGE}/docker -type f -exec touch -d '1 hour ago' {{}} +")
    before = used(host)
    _, _, data, *_ = shlex.split(pages.line("docs/by-task.md", "make make-room DATA="))
    given = [*data.removeprefix("DATA=").split(), "registry_untagged_days=0", "registry_keep_running=False"]
    ran = deployment.run(
        "-y", *(word for each in given for word in ("--data", each)), deploy="deploys/make_room.py"
    )
    assert ran.exit_code == 0, ran.output
    assert before - 33 <= used(host) <= before - 29
    assert latest in host.run(f"docker rmi -f {repository}:1; docker pull {repository}:1").stdout


def move(deployment: Deployment, folder: str) -> None:
    deployment.set(
        registry_state_dir=str(deployment.store.folder),
        registry_runtime=RUNTIMES,
        registry_storage_path=folder,
        registry_system_trust=True,
    )
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output


def test_the_images_move_to_another_disk(host: BenchHost, deployment: Deployment) -> None:
    host.run("apt-get update -q && apt-get install -q -y rsync")
    digest = push(host, f"{NAME}/apps/moved:1")
    host.run(f"mkdir -p /mnt/tank\n{pages.block('docs/by-task.md', 'rsync -a /var/lib/homelab-registry/ ')}")
    copy = pages.in_text("docs/by-task.md", "rsync -a --numeric-ids ")
    host.run(copy.replace(f":{STORAGE}/", ":/mnt/newhost/"))
    host.run(f"diff -r {STORAGE} /mnt/newhost && rm -r /mnt/newhost")
    move(deployment, TANK)
    assert digest in host.run(f"docker pull {NAME}/apps/moved:1").stdout


def test_each_tag_of_a_copy_is_whole_though_others_pushed_meanwhile(
    host: BenchHost, deployment: Deployment
) -> None:
    """The copy is served by the registry itself afterwards."""
    host.write("/root/pushing", PUSHING)
    host.run("sh /root/pushing > /tmp/pushed 2>&1 &")
    host.wait_until("grep -c new-1: /tmp/pushed", 30, "the first push")
    copy = pages.block("docs/by-task.md", "cd /var/lib/homelab-registry && to=").replace(STORAGE, TANK)
    host.run(f"mkdir -p /mnt/backup\n{copy}")
    host.run("rm /root/pushing")
    host.wait_until("grep -x done /tmp/pushed", 60, "the end of the last push")
    move(deployment, BACKUP)
    tags = host.run(
        f"find {BACKUP} -path '*/tags/*/current/link' | sed -E 's|.*/repositories/(.*)/_manifests/tags/(.*)/current.*|\\1:\\2|'"
    ).stdout.split()
    assert any(tag.startswith("new-") for tag in tags), tags
    host.run("docker image prune -af")
    host.run("\n".join(f"skopeo copy -q docker://{NAME}/{tag} dir:/tmp/copied" for tag in tags))


def test_a_machine_that_leaves_keeps_nothing_and_is_given_the_same_by_hand(
    host: BenchHost, deployment: Deployment
) -> None:
    """On the registry's own host, whose /etc/hosts is no mount any more, as on a machine that is no container."""
    host.run("cp /etc/hosts /tmp/hosts && umount /etc/hosts && cat /tmp/hosts > /etc/hosts")
    host.write("/root/homelab-registry/state/yours/ca.crt", deployment.store.ca_bundle_path.read_text())
    host.run(f"cd /root && {pages.line('docs/other-machines.md', 'scp CONTROLLER:')}")
    for command in (
        pages.in_text("docs/by-task.md", "docker logout NAME"),
        pages.in_text("docs/by-task.md", "rm -r /etc/docker/certs.d/"),
        pages.in_text("docs/by-task.md", "rm -r /etc/containerd/certs.d/"),
        pages.in_text("docs/by-task.md", "rm -r /etc/containers/certs.d/"),
        pages.in_text("docs/by-task.md", "sed -i "),
        pages.in_text("docs/by-task.md", "rm /usr/local/share/ca-certificates/"),
    ):
        host.run(command.replace("NAME", NAME))
    left = f"grep -rl homelab-registry /etc/hosts /usr/local/share; find /etc -path '*{NAME}*'; cat /root/.docker/config.json"
    assert host.run(left, check=False).stdout == '{\n\t"auths": {}\n}'
    pull = f"docker pull -q {BASE}"
    address = f"getent hosts {NAME} | cut -d ' ' -f 1"
    assert host.run(address).stdout == ""
    add_name = pages.line("docs/other-machines.md", "echo '192.0.2.10 ").replace("192.0.2.10", host.address)
    host.run(add_name)
    assert host.run(address).stdout == f"{host.address}\n"
    assert UNTRUSTED in host.run(pull, check=False).stderr
    host.run(f"cd /root && {pages.line('docs/other-machines.md', 'sudo install -D ')}")
    assert "no basic auth credentials" in host.run(pull, check=False).stderr
    # It asks for the password, at a terminal alone.
    log_in = pages.line("docs/other-machines.md", "docker login -u ci ")
    password = deployment.store.read().passwords["ci"]
    host.run(f"script -qec '{log_in}' /dev/null", stdin=f"{password}\n")
    assert host.run(pull).stdout == f"{BASE}\n"
    host.run(pages.in_text("docs/by-task.md", "docker logout registry."))
    host.run(pages.in_text("docs/other-machines.md", "docker login -u ci --password-stdin "), stdin=password)


def test_images_are_built_again_after_the_old_ones_are_removed(host: BenchHost) -> None:
    """Here they are loaded, since building them takes minutes."""
    built = "docker images -q 'homelab-registry.invalid/*'"
    host.run(pages.line("docs/settings.md", "docker rmi -f "))
    assert host.run(built).stdout == ""
    host.run(f"docker pull -q {BASE}")
    registry_images.load(host)
    host.run(f"echo y | {pages.in_text('docs/settings.md', 'docker image prune')}")
    assert host.run(built).stdout != ""


def test_nothing_of_ours_is_left_on_the_registry_host(host: BenchHost) -> None:
    """The last test: it takes the registry away."""
    host.run(pages.block("docs/by-task.md", "docker rm -f "))
    kept = (
        "docker ps -aq --filter name=homelab-registry; docker network ls -q --filter name=homelab-registry; "
    )
    kept += (
        "docker images -q 'homelab-registry.invalid/*'; ls -d /etc/homelab-registry /var/lib/homelab-registry"
    )
    assert host.run(kept, check=False).stdout == ""
