"""Backups and restores: to a host over SSH, to another disk and by restic; whole, of one repository, onto an empty host."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests import pages
from tests.bench import registry_images, ssh
from tests.bench.hosts import BenchHost
from tests.bench.programs import CRANE
from tests.bench.recipes import BOOKWORM_BACKUP
from tests.fleet.deployment import Deployment, RunResult

NAME = "registry.homelab.local"
STORAGE = "/var/lib/homelab-registry"
BACKUPS = "/var/lib/homelab-registry-backup"
USB = "/mnt/usb/images"
BACKUP, RESTORE, REPAIR = "deploys/backup.py", "deploys/restore.py", "deploys/repair.py"
RESTIC = pages.block("docs/by-task.md", "#!/bin/sh").replace("sftp:you@nas:/backup", "/mnt/usb/restic")
PUSHING = f"""
while [ -e /root/go ]; do
    number=$((${{number:-0}} + 1)); image={NAME}/new-$((number % 5)):1
    head -c 10000 /dev/urandom > /tmp/pushing && tar -c /tmp/pushing | docker import - $image > /dev/null && docker push $image
done
echo done
"""


def push(host: BenchHost, image: str, size: int = 1000) -> str:
    """Push an image of one layer of random bytes, and return its digest."""
    host.run(
        f"head -c {size} /dev/urandom > /tmp/layer; tar -c -C /tmp layer | docker import - {NAME}/{image}"
    )
    pushed = host.run(f"docker push {NAME}/{image}").stdout
    return pushed.rpartition("digest: ")[2].split()[0]


def pulled(host: BenchHost, image: str) -> str:
    """Return the digest of an image that is pulled, with all its layers, or what is said against it."""
    host.run(
        "docker image prune -af >/dev/null; docker images -q 'registry.homelab.local/*' | xargs -r docker rmi -f"
    )
    done = host.run(f"docker pull {NAME}/{image}", check=False)
    return done.stdout.partition("Digest: ")[2].partition("\n")[0] or done.stderr


def backups(host: BenchHost, folder: str = BACKUPS) -> list[str]:
    """Return the names of the backups in a folder, the oldest first."""
    return [name for name in host.run(f"ls {folder}").stdout.split() if name.startswith("20")]


@pytest.fixture(scope="module")
def host() -> Iterator[BenchHost]:
    """The registry host. It has restic and age."""
    host = BenchHost.start(BOOKWORM_BACKUP)
    registry_images.load(host)
    yield host
    host.remove()


@pytest.fixture(scope="module")
def pi() -> Iterator[BenchHost]:
    """The host that keeps backups, and takes the registry's place at the end. It has no rsync, which a backup installs."""
    pi = BenchHost.start(BOOKWORM_BACKUP, "pi")
    registry_images.load(pi)
    pi.run("dpkg --purge rsync")
    yield pi
    pi.remove()


@pytest.fixture(scope="module")
def hosts(host: BenchHost, pi: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An inventory of both."""
    key = ssh.make_key(tmp_path_factory.mktemp("key"))
    ssh.allow_key(pi, key)
    target = f"@docker/{host.name}"
    return (
        f"registry = [{target!r}]\ndocker_hosts = [{target!r}]\n"
        f"backup_hosts = [({pi.name!r}, {ssh.host_data(pi, key)!r})]\n"
    )


@pytest.fixture(scope="module")
def lab(host: BenchHost, hosts: str, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry, and a host for its backups; the admin account is logged in on the registry host."""
    deployment = Deployment(tmp_path_factory.mktemp("backup"), hosts)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    log_in(deployment, host)
    return deployment


def log_in(lab: Deployment, host: BenchHost) -> None:
    host.run(f"docker login -u admin --password-stdin {NAME}", stdin=lab.store.read().passwords["admin"])


def restore(lab: Deployment, source: str, **settings: object) -> RunResult:
    data = {"registry_restore": source, **settings}
    given = [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
    return lab.run("-y", *given, deploy=RESTORE)


CHECK = r"""
import hashlib, json, pathlib, sys
top = pathlib.Path(sys.argv[1], "docker/registry/v2")
def whole(digest, repository):
    data = (top / "blobs" / digest[:6] / digest[7:9] / digest[7:] / "data").read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest[7:], digest
    found = json.loads(data) if b'"schemaVersion"' in data else {}
    for kind, each in [("_layers", each) for each in [*found.get("layers", []), found.get("config", {})]] + [
        ("_manifests/revisions", each) for each in found.get("manifests", [])]:
        if "digest" in each:
            assert (repository / kind / each["digest"].replace(":", "/") / "link").read_text() == each["digest"]
            whole(each["digest"], repository)
tags = sorted(top.glob("repositories/**/_manifests/tags/*/current/link"))
for link in tags:
    whole(link.read_text(), link.parents[4])
print(len(tags))
"""
"""Reads each tag of a folder with all that it needs, by digest, without a line of the project's."""


def whole_tags(host: BenchHost, folder: str) -> int:
    """Return how many tags a folder has, after a look at each byte of each."""
    return int(host.run(f"python3 - {folder}", stdin=CHECK).stdout)


def check_each_tag(lab: Deployment, host: BenchHost) -> int:
    """Pull each image of the registry on a host, with a password and the CA that the state has, and count them."""
    host.give(CRANE)
    host.write("/tmp/trust/ca.crt", lab.store.ca_bundle_path.read_text())
    trust = "export SSL_CERT_FILE=/tmp/trust/ca.crt DOCKER_CONFIG=/tmp/trust"
    password = lab.store.read().passwords["cluster"]
    host.run(f"grep -q {NAME} /etc/hosts || echo '{host.address} {NAME}' >> /etc/hosts")
    host.run(f"{trust}; crane auth login -u cluster --password-stdin {NAME}", stdin=password)
    images = host.run(
        f"{trust}; for name in $(crane catalog {NAME}); do for tag in $(crane ls {NAME}/$name); do "
        f"crane pull {NAME}/$name@$(crane digest {NAME}/$name:$tag) /tmp/image.tar || exit 1; echo $name:$tag; done; done"
    )
    return len(images.stdout.split())


ROT = r"""
import json, os, pathlib, sys
blobs = pathlib.Path(sys.argv[1], "docker/registry/v2/blobs/sha256")
data = lambda digest: blobs / digest[7:9] / digest[7:] / "data"
layer = data(json.loads(data(sys.argv[2]).read_bytes())["layers"][0]["digest"])
was, content = layer.stat(), layer.read_bytes()
layer.write_bytes(bytes([content[0] ^ 1]) + content[1:])
os.utime(layer, ns=(was.st_atime_ns, was.st_mtime_ns))
"""
"""Changes a bit of an image's layer, and neither its size nor its time, as a disk does."""

KEYS = "/etc/homelab-registry/backup"
THEFT = f"""
set -- -e "ssh -F /dev/null -i {KEYS}/id_ed25519 -o UserKnownHostsFile={KEYS}/known_hosts -o BatchMode=yes"
rm -rf /tmp/evil && mkdir -p /tmp/evil/empty && cp -r {STORAGE}/docker /tmp/evil/
find /tmp/evil -type f -exec sh -c 'for each; do echo evil > "$each"; done' sh {{}} +
for to in / /.. .. /../*; do
    rsync -rI --inplace "$@" /tmp/evil/docker homelab-registry-backup@ADDRESS:$to
    rsync -r --delete "$@" /tmp/evil/empty/ homelab-registry-backup@ADDRESS:$to
    rsync -rI --inplace "$@" /tmp/evil/docker homelab-registry-backup@ADDRESS:$to
done
rsync -r "$@" homelab-registry-backup@ADDRESS:/ /tmp/read && echo could read
"""
"""What somebody who has the registry host would try against its backups."""


def moved(ran: RunResult) -> float:
    """Return how many MB a backup moved."""
    (step,) = [step for step in ran.steps if " MB moved" in step]
    return float(step.rpartition(" MB moved")[0].rpartition(" ")[2])


def back_up_while_pushing(lab: Deployment, host: BenchHost) -> RunResult:
    """Back up while somebody pushes, from before its beginning to after its end."""
    host.run("touch /root/go && sh /root/pushing > /tmp/pushed 2>&1 &")
    host.wait_until("grep -c digest /tmp/pushed", 30, "the first push")
    ran = lab.run(deploy=BACKUP)
    host.run("rm /root/go")
    host.wait_until("grep -x done /tmp/pushed", 60, "the end of the last push")
    assert ran.exit_code == 0, ran.output
    return ran


def test_backups_under_pushes_are_whole_and_move_what_is_new(
    lab: Deployment, host: BenchHost, pi: BenchHost, soak: bool
) -> None:
    host.write("/root/pushing", PUSHING)
    for image in ("apps/web:1", "team/base:1"):
        push(host, image)
    for _ in range(100 if soak else 1):
        back_up_while_pushing(lab, host)
        assert whole_tags(pi, f"{BACKUPS}/{backups(pi)[-1]}") > 2
    host.run("docker image prune -af")
    if soak:  # in a sample, what was pushed during the backup is less than 1 MB too
        assert lab.run(deploy=BACKUP).exit_code == 0
    push(host, "apps/large:1", 20_000_000)
    after = lab.run(deploy=BACKUP)
    assert after.exit_code == 0, after.output
    assert 20 < moved(after) <= 20 + 1
    assert len(backups(pi)) == 1, "the last one of a day stays"


def test_a_backup_is_restored_and_newer_tags_stay(lab: Deployment, host: BenchHost, pi: BenchHost) -> None:
    (last,) = backups(pi)
    two = pulled(host, "team/base:1")
    newer = push(host, "apps/web:1")
    host.run(f"rm -rf {STORAGE}/docker/registry/v2/repositories/team && docker restart homelab-registry")
    host.run(f"python3 - {STORAGE} {two}", stdin=ROT)
    done = restore(lab, f"{pi.name}:{last}")
    assert done.exit_code == 0, done.output
    assert "no registry runs here" not in done.output
    assert "pushed again since the backup, and stay as they are (1): apps/web:1" in done.output
    assert (pulled(host, "apps/web:1"), pulled(host, "team/base:1")) == (newer, two)
    assert f"-wo {BACKUPS}/partial" in pi.read("/etc/homelab-registry-backup/.ssh/authorized_keys")
    assert host.run(f"ls -A {STORAGE}").stdout.split() == [".homelab-registry", "docker"]


def data(digest: str) -> str:
    """Return the path of a blob's data."""
    value = digest.removeprefix("sha256:")
    return f"{STORAGE}/docker/registry/v2/blobs/sha256/{value[:2]}/{value}/data"


def test_what_is_damaged_is_named_and_repaired(lab: Deployment, host: BenchHost, pi: BenchHost) -> None:
    """A byte of a layer has changed; two manifests are empty, as 2.8 leaves them on a full disk, one in no backup.

    The link of a tag is empty too, as 2.8 leaves it if it is killed.
    """
    rotten, emptied = push(host, "apps/rotten:1", 5_000_000), push(host, "apps/emptied:1")
    assert lab.run(deploy=BACKUP).exit_code == 0
    (name,) = backups(pi)
    lost, torn = push(host, "apps/lost:1"), push(host, "apps/torn:1")
    link = f"{STORAGE}/docker/registry/v2/repositories/apps/torn/_manifests/tags/1/current/link"
    host.run(f": > {link}; touch -d '-1 minute' {link}")
    (layer,) = (each["digest"] for each in json.loads(host.read(data(rotten)))["layers"])
    host.run(f"printf '\\377\\0\\377' | dd of={data(layer)} bs=1 seek=2000000 conv=notrunc")
    host.run(f": > {data(emptied)}; : > {data(lost)}")

    verified = lab.verify("--deep", "-k", "every_tag").stdout
    assert "3 blobs damaged or missing, 4 tags cannot be pulled" in verified
    assert ": run make repair DEEP=1 INVENTORY=" in verified
    assert (
        f"the layer {layer} is damaged: apps/rotten:1 needs it; whole in the backup {pi.name}:{name}"
        in verified
    )
    assert (
        f"the manifest {emptied} is empty: apps/emptied:1 needs it; whole in the backup {pi.name}:{name}"
        in verified
    )
    assert f"the manifest {lost} is empty: apps/lost:1 needs it; no backup has it whole" in verified
    assert "apps/torn:1: its link is empty or damaged; make repair writes it again" in verified
    planned = lab.run("--dry", "--data", "registry_repair_deep=true", deploy=REPAIR)
    ran = lab.run("-y", "--data", "registry_repair_deep=true", deploy=REPAIR)
    assert planned.exit_code == 0, planned.output
    for output in (planned.output, ran.output):
        assert f"put back from a backup: the layer {layer} is damaged: apps/rotten:1 needs it" in output
        assert f"move away: the manifest {lost} is empty: apps/lost:1 needs it" in output
        assert "write 1 link again: left empty when the registry was killed" in output
    assert ran.exit_code == 1, ran.output
    (problem,) = ran.problems
    assert "cannot be pulled (1): apps/lost:1; no backup that was read has what is missing" in problem
    assert "-wo" in pi.read("/etc/homelab-registry-backup/.ssh/authorized_keys")

    assert lost in host.run(f"docker push {NAME}/apps/lost:1").stdout
    assert [pulled(host, f"apps/{each}:1") for each in ("rotten", "emptied", "lost", "torn")] == [
        rotten,
        emptied,
        lost,
        torn,
    ]
    collection = f"{STORAGE}/.homelab-registry.collection"
    assert len(host.run(f"ls {collection}/damaged").stdout.split()) == 3
    host.run(f"rm -r {collection}")


def test_a_killed_backup_counts_for_nothing_and_the_next_is_whole(
    lab: Deployment, host: BenchHost, pi: BenchHost, soak: bool
) -> None:
    if soak:
        assert lab.run(deploy=BACKUP).exit_code == 0
    (last,) = backups(pi)
    whole = whole_tags(pi, f"{BACKUPS}/{last}")
    every = len(lab.run(deploy=BACKUP).commands) if soak else 0
    for number in range(1, every + 1) if soak else [9]:
        push(host, "apps/killed:1")
        (last, *_) = backups(pi)
        killed = lab.run(deploy=BACKUP, kill_after=number)
        assert killed.exit_code < 0, killed.output
        if not soak:
            assert backups(pi)[0] == last
            assert pi.run(f"ls {BACKUPS}/partial").stdout.split() == ["docker"]
            assert "could read" not in host.run(THEFT.replace("ADDRESS", pi.address), check=False).stdout
            pi.run(f"rm -rf {BACKUPS}/partial")
        assert whole_tags(pi, f"{BACKUPS}/{backups(pi)[0]}") >= whole
        ran = lab.run(deploy=BACKUP)
        assert ran.exit_code == 0, ran.output
        (last,) = backups(pi)
        assert whole_tags(pi, f"{BACKUPS}/{last}") > whole
    assert host.run(f"ls -A {STORAGE}").stdout.split() == [".homelab-registry", "docker"]


def test_another_disk_restic_and_the_state(
    lab: Deployment, host: BenchHost, pi: BenchHost, hosts: str
) -> None:
    """The controller's own age is that of the registry host, so that this machine needs none."""
    age = lab.folder / "bin/age"
    age.parent.mkdir()
    age.write_text(f'#!/bin/sh\nexec docker exec -i {host.name} age "$@"\n')
    age.chmod(0o755)
    lab.inventory.write_text(f"import os\nos.environ['PATH'] = '{age.parent}:' + os.environ['PATH']\n{hosts}")
    host.run("mkdir -p /mnt/usb && mount -t tmpfs none /mnt/usb")
    host.run(f"cd /root && {pages.line('docs/by-task.md', 'age-keygen ')}")
    host.write("/root/restic.password", "x\n", "0600")
    host.write("/root/restic", f"{RESTIC}\n", "0755")
    host.run("RESTIC_PASSWORD=x restic -q init -r /mnt/usb/restic")
    settings = {
        "registry_backup_folder": USB, "registry_backup_program": "/root/restic",
        "registry_backup_recipients": "/etc/homelab-backup.keys", "registry_state_dir": f"{lab.folder}/state",
    }  # fmt: skip
    lab.set(**settings)
    push(host, "apps/third:1")
    ran = lab.run(deploy=BACKUP)
    assert ran.exit_code == 0, ran.output
    host.run(
        "cd /mnt/usb && RESTIC_PASSWORD=x restic -q restore latest -r /mnt/usb/restic --target /mnt/usb/restored"
    )
    (name,) = backups(host, USB)
    counts = {whole_tags(host, folder) for folder in (f"{USB}/{name}", "/mnt/usb/restored")}
    counts.add(whole_tags(pi, f"{BACKUPS}/{backups(pi)[-1]}"))
    assert len(counts) == 1
    assert "less than a day old" in ran.output
    host.run(
        "umount -l /mnt/usb && grep -v homelab-registry$ /etc/hosts > /tmp/hosts && cat /tmp/hosts > /etc/hosts"
    )
    lab.inventory.write_text(f"import os\nos.environ['HOMELAB_REGISTRY_PATIENCE'] = '1'\n{hosts}")
    (before,) = backups(pi)
    by_timer = lab.run()
    assert by_timer.exit_code == 1, by_timer.output
    assert backups(pi) > [before], "one target that fails keeps no other from its backup"
    problem, state, program = by_timer.problems
    assert "there is no program age on this machine" in state
    assert "could not back up to /root/restic: " in program
    assert f"{USB} is on the file system of the images" in problem, "the timer backs up too"
    assert NAME in host.read("/etc/hosts"), "what keeps it from that keeps it from nothing else"
    lab.inventory.write_text(hosts)
    lab.set(registry_state_dir=f"{lab.folder}/state", registry_backup_folder="/mnt/other")
    verified = lab.verify("-k", "last_good or last_backup")
    assert "no good backup for 8 days: no good backup yet (/mnt/other)" in verified.stdout
    assert "1 failed, 2 passed" in verified.stdout
    lab.set(registry_state_dir=f"{lab.folder}/state")


def test_the_controller_died(lab: Deployment, host: BenchHost, pi: BenchHost, hosts: str) -> None:
    """As docs/lost-or-stolen.md has it: state, inventory and settings come from the last backup that has them."""
    for path in ("state", "bench.py", "group_data"):
        (lab.folder / path).rename(lab.folder / f"{path}.lost")
    there = f"ssh pi sudo cat {BACKUPS}/2026-03-01-030000/"
    fetch = pages.line("docs/lost-or-stolen.md", "ssh pi ").replace(there, f"cat {BACKUPS}/{backups(pi)[0]}/")
    pi.write("/root/backup.key", host.read("/root/backup.key"))
    fetched = pi.run(f"cd /root && {fetch.partition(' | tar ')[0]} | base64").stdout
    subprocess.run(["tar", "-xp"], cwd=lab.folder, input=b64decode(fetched), check=True)
    planned = lab.plan()
    assert planned.exit_code == 0, planned.output
    assert "Nothing to do on 2 hosts (" in planned.output
    lab.inventory.write_text(hosts)
    lab.set(registry_state_dir=f"{lab.folder}/state")


def test_the_registry_host_died(lab: Deployment, host: BenchHost, pi: BenchHost) -> None:
    """As docs/by-task.md has it: an empty one is given what a backup host keeps, then the run deploys."""
    host.run(
        "docker rm -f $(docker ps -aq) && docker network rm homelab-registry; "
        f"rm -rf /etc/homelab-registry* {STORAGE} /etc/docker/certs.d /root/.docker"
    )
    host.run(f"mkdir {STORAGE} && mount -t tmpfs -o size=1m none {STORAGE}")
    small = restore(lab, "latest")
    assert re.search(r"has \d\.\d\d MB free, and .* needs \d\d\.\d\d MB more", small.problems[0]), (
        small.output
    )
    assert host.run(f"ls -A {STORAGE} && umount {STORAGE} && rmdir {STORAGE}").stdout == ""
    restored = restore(lab, "latest")
    assert restored.exit_code == 0, restored.output
    assert "no registry runs here yet: make deploy" in restored.output
    deployed = lab.run()
    assert deployed.exit_code == 0, deployed.output
    assert check_each_tag(lab, host) == whole_tags(pi, f"{BACKUPS}/{backups(pi)[-1]}") > 2
    saved = lab.run(deploy=BACKUP)
    assert saved.exit_code == 0, saved.output


@pytest.mark.soak
def test_the_disk_of_the_images_died(lab: Deployment, host: BenchHost, pi: BenchHost, soak: bool) -> None:
    """As docs/by-task.md has it: another disk is mounted at its place, and gets what a backup host keeps."""
    log_in(lab, host)
    one = push(host, "apps/web:1", 20_000_000)
    assert lab.run(deploy=BACKUP).exit_code == 0
    host.run(f"mv {STORAGE} /mnt/dead && mkdir {STORAGE} && mount -t tmpfs none {STORAGE}")
    stopped = restore(lab, "latest")
    (problem,) = stopped.problems
    assert f"the folder of the images, {STORAGE}, is empty" in problem
    begin = pages.line("docs/by-task.md", "mkdir -p /var/lib/homelab-registry && ")
    assert problem.endswith(f"on that host: {begin}")
    host.run(begin)
    restored = restore(lab, "latest")
    assert restored.exit_code == 0, restored.output
    deployed = lab.run()
    assert deployed.exit_code == 0, deployed.output
    assert pulled(host, "apps/web:1") == one
    assert check_each_tag(lab, host) == whole_tags(pi, f"{BACKUPS}/{backups(pi)[-1]}")
    push(host, "apps/web:1")
    again = restore(lab, "latest", registry_restore_repository="apps/web", registry_restore_older=True)
    assert again.exit_code == 0, again.output
    assert pulled(host, "apps/web:1") == one
    saved = lab.run(deploy=BACKUP)
    assert saved.exit_code == 0, saved.output


@pytest.mark.soak
def test_a_host_with_a_copy_takes_the_registrys_place(
    lab: Deployment, host: BenchHost, pi: BenchHost, hosts: str, soak: bool
) -> None:
    """The registry host is gone; the host that has the backup serves it, with the CA and the passwords that were."""
    host.run("docker rm -f homelab-registry-gateway homelab-registry")
    *_, connection = hosts.splitlines()
    lab.inventory.write_text(connection.replace("backup_hosts", "registry"))
    pi.run(f"rm -rf {STORAGE}")
    restored = restore(lab, f"{BACKUPS}/{backups(pi)[-1]}")
    assert restored.exit_code == 0, restored.output
    assert "no registry runs here yet" in restored.output
    adopted = lab.run(deploy="deploys/adopt.py")
    assert adopted.exit_code == 0, adopted.output
    assert check_each_tag(lab, pi) == whole_tags(pi, STORAGE) > 0
