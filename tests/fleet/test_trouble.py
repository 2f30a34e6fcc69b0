"""Problems around a run: each is reported in one clear line and by the exit code, and a later run finishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import pages
from tests.bench import registry_images, ssh
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM
from tests.fleet.conftest import deployment_on
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.disks import LOOPS, make_disk, mount_disk
from tests.fleet.test_changes import change_settings, request_status, start_times


@contextmanager
def trouble(host: BenchHost, begin: str, end: str) -> Iterator[None]:
    """Cause a problem with one command, and end it with another."""
    host.run(begin)
    try:
        yield
    finally:
        host.run(end)


def assert_run_fails(deployment: Deployment, *texts: str) -> RunResult:
    """Run, and check that it ends with one problem, which contains all these texts."""
    ran = deployment.run()
    assert ran.exit_code == 1, ran.output
    assert "Traceback" not in ran.output
    assert len(ran.problems) == 1, ran.output
    for text in texts:
        assert text in ran.problems[0], ran.output
    return ran


def assert_run_recovers(deployment: Deployment) -> None:
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    assert deployment.run().steps == []


LISTEN = "nohup python3 -m http.server --bind 0.0.0.0 8444 >/dev/null 2>&1 & echo $! > /tmp/listener"


def test_the_port_is_taken(host: BenchHost, tmp_path: Path) -> None:
    deployment = deployment_on(host, tmp_path, registry_port=8444)
    host.run(LISTEN)
    host.wait_until("ss -Htln 'sport = :8444' | grep -q .", 20, "a listener")
    with trouble(host, "true", "kill $(cat /tmp/listener)"):
        ran = assert_run_fails(
            deployment,
            "port 8444 is taken by python3 (pid ",
            "; stop that program, or set registry_port to another port",
        )
        assert ran.steps == []
    host.write("/tmp/web.yml", "version: 0.1\nstorage: {inmemory: {}}\nhttp: {addr: ':5000'}\n")
    image = host.run("docker images -q homelab-registry.invalid/registry").stdout.split()[0]
    begin = (
        f"docker run -d --name web -p 8444:5000 -v /tmp/web.yml:/web.yml:ro {image} registry serve /web.yml"
    )
    with trouble(host, begin, "docker rm -f web"):
        ran = assert_run_fails(
            deployment,
            "port 8444 is taken by the container web; "
            "stop it (docker stop web), or set registry_port to another port",
        )
        assert ran.steps == []
        assert not deployment.store.read_ca_bundle()
    host.wait_until("! ss -Htln 'sport = :8444' | grep -q .", 20, "the end of the listener")
    assert_run_recovers(deployment)
    host.run("docker rm -f homelab-registry homelab-registry-gateway; rm -rf /etc/homelab-registry")


def test_the_disk_is_full(host: BenchHost, deployment: Deployment) -> None:
    full = "mv /etc/docker/certs.d /root/certs.d && mkdir /etc/docker/certs.d && mount -t tmpfs -o size=4k tmpfs /etc/docker/certs.d"
    full += " && chmod 755 /etc/docker/certs.d && head -c 4096 /dev/zero > /etc/docker/certs.d/full"
    with trouble(
        host, full, "umount /etc/docker/certs.d; rm -rf /etc/docker/certs.d; mv /root/certs.d /etc/docker"
    ):
        assert_run_fails(
            deployment,
            "could not write /etc/docker/certs.d/registry.homelab.local/ca.crt: ",
            "No space left on device; free space there (df -h, df -i)",
        )
    assert_run_recovers(deployment)


def test_a_state_folder_that_cannot_be_created(host: BenchHost, tmp_path: Path) -> None:
    deployment = deployment_on(host, tmp_path, registry_state_dir="/proc/homelab-state")
    ran = deployment.run()
    assert ran.exit_code == 1
    assert "Traceback" not in ran.output
    assert "registry_state_dir" in ran.output


def test_docker_does_not_answer(host: BenchHost, deployment: Deployment) -> None:
    with trouble(host, "kill -STOP $(pidof dockerd)", "kill -CONT $(pidof dockerd)"):
        assert_run_fails(
            deployment,
            "Docker Engine accepts requests but does not answer within 20 seconds; look at its log",
        )
    assert_run_recovers(deployment)


# The disk of the images.

DEFAULT, TANK = "/var/lib/homelab-registry", "/mnt/tank"
PATH = f"{TANK}/registry"
DISK, OTHER = "/root/disk", "/root/other"


@pytest.fixture(scope="module")
def on_disk(host: BenchHost, deployment: Deployment) -> Iterator[Deployment]:
    """The registry with its images on a disk of their own, and one repository in it."""
    make_disk(host, DISK)
    mount_disk(host, DISK, TANK)
    change_settings(deployment, registry_storage_path=PATH)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    host.run(f"mkdir -p {PATH}/docker/registry/v2/repositories/team && chown -R 60706:60706 {PATH}")
    yield deployment
    host.run(f"umount {TANK}", check=False)


def assert_left_alone(host: BenchHost, deployment: Deployment, *texts: str) -> None:
    """Check that a plan and a run refuse with these texts, and neither touches the containers nor makes a folder."""
    shown = f"docker ps -aq --no-trunc; find {TANK} -printf '%p %m %U %G\\n' | sort"
    before = start_times(host), host.run(shown).stdout
    ran = assert_run_fails(deployment, *texts)
    assert ran.steps == []
    assert deployment.plan().problems == ran.problems
    assert (start_times(host), host.run(shown).stdout) == before


def assert_serves(deployment: Deployment) -> None:
    ran = deployment.run()
    assert (ran.exit_code, ran.steps) == (0, []), ran.output


def test_a_disk_that_is_not_mounted(host: BenchHost, on_disk: Deployment) -> None:
    host.run(f"umount {TANK}")
    said = (f"{PATH}, does not exist: {TANK} is not mounted; mount it (mount {TANK})", f"findmnt -T {PATH}")
    assert_left_alone(host, on_disk, *said)
    find = pages.in_text("docs/messages.md", "findmnt -T ").replace("FOLDER", f"$(dirname {TANK})")
    assert TANK not in host.run(find).stdout
    # The state alone knows it after the host was installed again.
    host.run("mv /etc/homelab-registry/storage /root/storage")
    assert_left_alone(host, on_disk, f"{PATH}, does not exist; mount its disk or share")
    host.run("mv /root/storage /etc/homelab-registry/storage")
    make_disk(host, OTHER)
    mount_disk(host, OTHER, TANK)
    assert_left_alone(host, on_disk, f"{PATH}, does not exist; mount its disk or share")
    host.run(
        f"mkdir -p {PATH}/docker/registry/v2/repositories/theirs && echo {'c' * 32} > {PATH}/.homelab-registry"
    )
    assert_left_alone(host, on_disk, f"{PATH} has the images of another registry (/dev/loop")
    host.run(f"umount {TANK}")
    mount_disk(host, DISK, TANK)
    assert_serves(on_disk)


def test_a_disk_that_is_mounted_read_only(host: BenchHost, on_disk: Deployment) -> None:
    host.run(f"mount -o remount,ro {TANK}")
    assert_left_alone(host, on_disk, f"{PATH} is mounted read-only (/dev/loop", f"remount,rw {TANK}")
    host.run(pages.in_text("docs/messages.md", "mount -o remount,rw ").replace("FOLDER", TANK))
    assert_serves(on_disk)


def test_storage_from_before_there_were_marks(host: BenchHost, on_disk: Deployment) -> None:
    """As after an update of the project: the container alone says where the images are."""
    record = on_disk.store.folder / "record.json"
    record.write_text(record.read_text().replace(f'"{PATH}"', '""'))
    unmarked = f"rm /etc/homelab-registry/storage {PATH}/.homelab-registry"
    host.run(f"{unmarked}; umount {TANK}; mkdir -p {PATH}")
    assert_left_alone(host, on_disk, f"{PATH}, is empty; mount its disk or share")
    host.run(f"rmdir {PATH}")
    mount_disk(host, DISK, TANK)
    ran = on_disk.run()
    assert (ran.exit_code, ran.steps) == (0, [
        f"write {PATH}/.homelab-registry: it is missing",
        "write /etc/homelab-registry/storage: it is missing",
        f"note {PATH} as the folder of the images: it is new to {on_disk.store.folder}",
    ]), ran.output  # fmt: skip
    assert_serves(on_disk)


def test_images_are_moved_on_purpose_by_the_command_of_the_message(
    host: BenchHost, on_disk: Deployment
) -> None:
    new = "/srv/images"
    change_settings(on_disk, registry_storage_path=new)
    move = f"docker stop homelab-registry && mkdir -p {new} && cp -a {PATH}/. {new}/"
    assert_left_alone(
        host, on_disk, f"the images are in {PATH}, and registry_storage_path is now {new}", move
    )
    host.run(move)
    ran = on_disk.run()
    assert ran.exit_code == 0, ran.output
    assert "team" in host.run(
        "ls /proc/$(docker inspect -f '{{.State.Pid}}' homelab-registry)/root/var/lib/registry/docker/registry/v2/"
        "repositories"
    ).stdout  # fmt: skip
    assert_serves(on_disk)
    change_settings(on_disk)
    assert_left_alone(host, on_disk, f"registry_storage_path is now {DEFAULT}, which has none")
    host.run(f"rm -rf {DEFAULT}; mkdir -p {DEFAULT} && touch {DEFAULT}/.homelab-registry")
    ran = on_disk.run()
    assert ran.exit_code == 0, ran.output
    assert_serves(on_disk)


def test_a_folder_with_other_things_in_it(host: BenchHost, on_disk: Deployment) -> None:
    """A pool is not given away, not even one that has the images of a registry besides."""
    host.run(f"mkdir -p {TANK}/music {TANK}/photos")
    change_settings(on_disk, registry_storage_path=TANK)
    assert_left_alone(
        host,
        on_disk,
        f"registry_storage_path {TANK} has other things in it: music, photos, registry; "
        f'set registry_storage_path = "{TANK}/homelab-registry" and run again',
    )
    host.run(f"mkdir -p {TANK}/docker/registry/v2/repositories")
    assert_left_alone(
        host,
        on_disk,
        f"{TANK} has other things in it besides a registry's images: music, photos, registry; move them",
        f"mkdir {TANK}/homelab-registry && mv {TANK}/docker {TANK}/homelab-registry/; then set registry_storage_path",
    )
    change_settings(on_disk)


def test_a_share_on_which_root_owns_nothing(host: BenchHost, deployment: Deployment) -> None:
    """As NFS with root_squash: what root makes belongs to nobody, and root cannot give it away."""
    share = "/mnt/share"
    host.run(
        "apt-get update -q && apt-get install -q -y --no-install-recommends bindfs; mknod /dev/fuse c 10 229; "
        f"mkdir -p {share} /root/share && bindfs --chown-deny --force-user=nobody /root/share {share}"
    )
    change_settings(deployment, registry_storage_path=f"{share}/registry")
    before = start_times(host)
    ran = assert_run_fails(
        deployment,
        f"could not try whether {share}/registry can be given to the registry: fuse at {share} keeps no owners",
        "mount it with uid=60706",
        "no_root_squash (NFS)",
    )
    assert ran.commands_on(f"@docker/{host.name}")[-1].endswith(f"place={share}/registry")
    assert (start_times(host), host.run(f"find {share}").stdout) == (before, f"{share}\n")
    host.run(f"umount {share}")
    change_settings(deployment)
    assert_run_recovers(deployment)


def test_a_disk_with_exfat(host: BenchHost, deployment: Deployment) -> None:
    """exFAT as the program exfat-fuse has it; the kernel's own needs a module of the machine."""
    disk, folder = "/root/exfat", "/media/exfat"
    host.run(
        f"apt-get install -q -y --no-install-recommends exfat-fuse exfatprogs; {LOOPS}; [ -e /dev/fuse ] || mknod "
        f"/dev/fuse c 10 229; truncate -s 64M {disk} && mkfs.exfat {disk} && mkdir -p {folder}"
    )
    mount = f"mount.exfat-fuse $(losetup --find --show {disk})"
    host.run(f"{mount} {folder}")
    before = start_times(host)
    change_settings(deployment, registry_storage_path=f"{folder}/registry")
    assert_run_fails(
        deployment,
        f"could not try whether {folder}/registry can be given to the registry: fuseblk at {folder} keeps no owners",
        "mount it with uid=60706,gid=60706",
        "umask=0077",
    )
    assert (start_times(host), host.run(f"ls -A {folder}").stdout) == (before, "")
    host.run(f"umount {folder}")
    host.run(f"losetup -j {disk} | cut -d : -f 1 | xargs -r losetup -d")
    change_settings(deployment)
    assert_run_recovers(deployment)


def test_a_power_cut_keeps_a_password_revoked(host: BenchHost, deployment: Deployment) -> None:
    """It comes right after the step that revokes. What the disk has then is what a loop device wrote to its file; the
    file system by itself writes only after five minutes."""
    folder, disk = "/etc/homelab-registry/registry", "/root/power"
    make_disk(host, disk)
    mount_disk(host, disk, "/mnt/power", "commit=300")
    host.run(f"cp -a {folder}/. /mnt/power/ && umount /mnt/power")
    mount_disk(host, disk, folder, "commit=300")
    change_settings(deployment)
    assert_run_recovers(deployment)
    accounts = {"admin": "admin", "cluster": "pull"}
    change_settings(deployment, registry_accounts=accounts)
    commands = deployment.run().commands
    (revoked,) = [at for at, command in enumerate(commands, 1) if f"new={folder}/.htpasswd" in command]
    change_settings(deployment)
    assert_run_recovers(deployment)
    password = deployment.store.read().passwords["ci"]
    assert request_status(host, deployment, "ci", password) == "200"
    change_settings(deployment, registry_accounts=accounts)
    killed = deployment.run(kill_after=revoked)
    host.run(f"cp {disk} {disk}-then")
    assert killed.exit_code == -9, killed.output
    host.run(f"docker stop homelab-registry; umount {folder}")
    mount_disk(host, f"{disk}-then", folder)
    host.run("docker start homelab-registry")
    healthy = "docker exec homelab-registry wget -q -O /dev/null http://127.0.0.1:5001/debug/health"
    host.wait_until(healthy, 20, "the registry")
    assert request_status(host, deployment, "ci", password) == "401"
    admin = deployment.store.read().passwords["admin"]
    assert request_status(host, deployment, "admin", admin) == "200"
    host.run(f"docker stop homelab-registry; umount {folder}")
    change_settings(deployment)
    assert_run_recovers(deployment)


# The engine and the images.


def test_an_engine_that_gives_containers_other_user_ids(host: BenchHost, deployment: Deployment) -> None:
    remap = (
        "useradd -r dockremap; for each in subuid subgid; do echo dockremap:100000:65536 > /etc/$each; done; "
        """echo '{"userns-remap": "dockremap"}' > /etc/docker/daemon.json; systemctl restart docker"""
    )
    with trouble(host, remap, "rm /etc/docker/daemon.json; systemctl restart docker"):
        registry_images.load(host)
        assert_run_recovers(deployment)
        admin = deployment.store.read().passwords["admin"]
        assert request_status(host, deployment, "admin", admin) == "200"
        uploads = ("-X", "POST", "--data", "")
        assert request_status(host, deployment, "admin", admin, "/v2/new/blobs/uploads/", *uploads) == "202"
        host.run("docker rm -f homelab-registry homelab-registry-gateway")
    assert_run_recovers(deployment)


def test_an_image_that_does_not_run_gets_no_name(host: BenchHost, deployment: Deployment) -> None:
    host.run("docker ps -aq | xargs -r docker rm -f; docker images -q | xargs -r docker rmi -f")
    with trouble(host, "mount -t tmpfs -o noexec tmpfs /var/tmp", "umount /var/tmp"):
        assert_run_fails(
            deployment,
            "could not build the image homelab-registry.invalid/registry:",
            ": no program may run below /var/tmp, which is mounted noexec; allow programs there",
        )
    assert host.run("docker images -aq").stdout == ""


# The network and the rights.


def test_no_route_to_the_package_mirror_for_the_images(host: BenchHost, deployment: Deployment) -> None:
    host.run("docker ps -aq | xargs -r docker rm -f; docker images -q | xargs -r docker rmi -f")
    with trouble(host, *mirror_unreachable()):
        ran = assert_run_fails(
            deployment,
            "could not build the image homelab-registry.invalid/registry:",
            "the package mirror cannot be reached",
        )
        assert ran.failed[0].startswith("build the image homelab-registry.invalid/registry:")
    assert_run_recovers(deployment)


@pytest.fixture(scope="module")
def bare() -> Iterator[BenchHost]:
    """A host without Docker Engine, and without systemd."""
    host = BenchHost.start(BOOKWORM, systemd=False)
    yield host
    host.remove()


@pytest.fixture(scope="module")
def on_bare(bare: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return deployment_on(bare, tmp_path_factory.mktemp("bare"))


# As Docker's own packages declare it; a node of kubeadm's has the first one alone.
FOREIGN = {
    "containerd.io": "Provides: containerd, runc\\nConflicts: containerd, runc\\nReplaces: containerd, runc\\n",
    "docker-ce-cli": "Conflicts: docker, docker-engine, docker.io\\nReplaces: docker, docker-engine, docker.io\\n",
}
MAKE_PACKAGE = """
mkdir -p /tmp/{name}/DEBIAN
printf 'Package: {name}\\nVersion: 99\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n{fields}' \
    > /tmp/{name}/DEBIAN/control
dpkg-deb -b /tmp/{name} /tmp/{name}.deb && dpkg -i /tmp/{name}.deb
"""


def test_no_package_is_removed_for_the_engine(bare: BenchHost, on_bare: Deployment) -> None:
    for name, fields in FOREIGN.items():
        bare.run(MAKE_PACKAGE.format(name=name, fields=fields))
    packages = "dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\\n'"
    before = bare.run(packages).stdout
    would = "apt would remove containerd.io and remove docker-ce-cli"
    # A host whose lists are empty learns it from the lists that the step reads first.
    ran = assert_run_fails(on_bare, "could not install Docker Engine", would.replace(" and", ""))
    planned = on_bare.plan()
    assert (planned.exit_code, planned.steps) == (1, []), planned.output
    assert planned.problems == [
        f"[@docker/{bare.name}] to install Docker Engine {would}; install the engine that belongs to it "
        "(apt-get install docker-ce), and run again"
    ]
    assert ran.failed == [
        "install Docker Engine from the distribution's packages (about a minute): there is none"
    ]
    assert bare.run(packages).stdout == before
    bare.run(f"dpkg -r {' '.join(FOREIGN)}")


def test_no_route_to_the_package_mirror_for_the_engine(bare: BenchHost, on_bare: Deployment) -> None:
    with trouble(bare, *mirror_unreachable()):
        assert_run_fails(
            on_bare, "could not install Docker Engine", "the package mirror cannot be reached from there"
        )
    assert_run_recovers(on_bare)


def test_an_engine_is_started_without_systemd(bare: BenchHost, on_bare: Deployment) -> None:
    """As after a reboot, if nothing else starts it. tests/chain has the same with systemd."""
    bare.run("kill $(cat /var/run/docker-ssd.pid)")
    bare.wait_until("! docker info", 30, "the end of Docker Engine")
    ran = on_bare.run()
    assert (ran.exit_code, ran.steps[0]) == (0, "start Docker Engine: it is not running"), ran.output
    assert on_bare.run().steps == []
    verified = on_bare.verify("-k", "test_containers or test_docker_hosts")
    assert verified.returncode == 0, verified.stdout


def mirror_unreachable() -> tuple[str, str]:
    """Return commands that set and remove an unreachable proxy for apt; the first also removes the package lists."""
    return (
        'echo \'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9";\''
        " > /etc/apt/apt.conf.d/99gone; rm -rf /var/lib/apt/lists/*",
        "rm /etc/apt/apt.conf.d/99gone",
    )


@pytest.mark.parametrize(("minutes", "good"), [(-120, False), (120, False), (-10, True), (10, True)])
def test_a_wrong_clock(host: BenchHost, deployment: Deployment, minutes: int, good: bool) -> None:
    """Containers share this machine's clock, so a fake `date` prints another time."""
    wrong = f'#!/bin/sh\\nexec /usr/bin/date -d "{minutes:+} minutes" "$@"\\n'
    with trouble(
        host,
        f"printf '{wrong}' > /usr/local/bin/date && chmod 755 /usr/local/bin/date",
        "rm /usr/local/bin/date",
    ):
        if good:
            assert_run_recovers(deployment)
        else:
            side = "ahead of" if minutes > 0 else "behind"
            assert_run_fails(
                deployment,
                f"its clock is 2 h 0 min {side} this machine's",
                "set the clocks (timedatectl set-ntp true)",
            )


def over_ssh(host: BenchHost, folder: Path, user: str) -> Deployment:
    key = ssh.make_key(folder)
    ssh.allow_key(host, key)
    data = ssh.host_data(host, key, user)
    return Deployment(folder, f"registry = [('nas', {data!r})]\ndocker_hosts = ['nas']\n")


def test_neither_root_nor_sudo(host: BenchHost, tmp_path: Path) -> None:
    deployment = over_ssh(host, tmp_path, ssh.OPERATOR)
    host.run(f"rm /etc/sudoers.d/{ssh.OPERATOR}")
    ran = assert_run_fails(
        deployment, "neither root nor passwordless sudo; log in as root, or allow it in /etc/sudoers.d"
    )
    assert ran.steps == []
    assert "password:" not in ran.output
