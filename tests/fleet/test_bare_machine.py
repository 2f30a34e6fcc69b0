"""From a bare machine and a backup on another host to a verification that passes, against copying the same bytes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import registry_images, ssh
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM, BOOKWORM_BACKUP
from tests.fleet.deployment import Deployment
from tests.fleet.test_backup import BACKUP, BACKUPS, STORAGE, backups, restore, whole_tags

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("soak")]

FILL = r"""
import hashlib, json, os, pathlib, sys
top = pathlib.Path(sys.argv[1], "docker/registry/v2")
def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
def blob(repository, data, kind):
    value = hashlib.sha256(data).hexdigest()
    write(top / "blobs/sha256" / value[:2] / value / "data", data)
    write(repository / kind / "sha256" / value / "link", f"sha256:{value}".encode())
    return {"digest": f"sha256:{value}", "size": len(data)}
for number in range(int(sys.argv[2])):
    repository = top / "repositories" / f"apps/image-{number}"
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    media = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
        "config": {"mediaType": media + "config.v1+json", **blob(repository, json.dumps(config).encode(), "_layers")},
        "layers": [{"mediaType": media + "layer.v1.tar", **blob(repository, os.urandom(25_000_000), "_layers")}
                   for _ in range(4)]}
    found = blob(repository, json.dumps(manifest).encode(), "_manifests/revisions")["digest"]
    tag = repository / "_manifests/tags/1"
    for link in (tag / "index" / found.replace(":", "/") / "link", tag / "current/link"):
        write(link, found.encode())
"""
"""Writes images of 100 MB as a registry stores them."""

IMAGES = 30


@pytest.fixture
def hosts() -> Iterator[dict[str, BenchHost]]:
    """Hosts by name; a test adds its own."""
    made: dict[str, BenchHost] = {}
    yield made
    for host in made.values():
        host.remove()


def timed(what: str, begun: float) -> float:
    seconds = time.monotonic() - begun
    print(f"{what}: {seconds:.0f} s")
    return seconds


def test_a_bare_machine_takes_the_registrys_place(tmp_path: Path, hosts: dict[str, BenchHost]) -> None:
    nas = hosts["nas"] = BenchHost.start(BOOKWORM_BACKUP)
    pi = hosts["pi"] = BenchHost.start(BOOKWORM_BACKUP, "pi")
    registry_images.load(nas)
    key = ssh.make_key(tmp_path)
    ssh.allow_key(pi, key)
    backup_hosts = f"backup_hosts = [({pi.name!r}, {ssh.host_data(pi, key)!r})]\n"
    lab = Deployment(tmp_path, f"registry = ['@docker/{nas.name}']\n{backup_hosts}")
    ran = lab.run()
    assert ran.exit_code == 0, ran.output
    nas.run(
        f"python3 - {STORAGE} {IMAGES} && chown -R --reference={STORAGE} {STORAGE}/docker",
        stdin=FILL,
        timeout=300,
    )
    begun = time.monotonic()
    backed_up = lab.run(deploy=BACKUP)
    assert backed_up.exit_code == 0, backed_up.output
    timed("\nbackup of 3 GB", begun)
    hosts.pop("nas").remove()

    bare = hosts["bare"] = BenchHost.start(BOOKWORM)
    target = f"'@docker/{bare.name}'"
    lab.inventory.write_text(f"registry = [{target}]\ndocker_hosts = [{target}]\n{backup_hosts}")
    begun = time.monotonic()
    restored = restore(lab, "latest")
    assert restored.exit_code == 0, restored.output
    timed("restore", begun)
    adopted = lab.run(deploy="deploys/adopt.py")
    assert adopted.exit_code == 0, adopted.output
    timed("restore and deploy", begun)
    verified = lab.verify()
    assert verified.returncode == 0, verified.stdout
    whole = timed("restore, deploy and verify", begun)
    assert whole_tags(bare, STORAGE) == IMAGES

    bare.run("rm -rf /root/copy && mkdir /root/copy")
    begun = time.monotonic()
    pipe = f"docker exec {pi.name} tar -C {BACKUPS}/{backups(pi)[-1]} -c . | docker exec -i {bare.name} tar -C /root/copy -x"
    subprocess.run(["sh", "-c", pipe], check=True)
    bare.run("sync -f /root/copy")
    copied = timed("to copy the same bytes", begun)
    print(f"ratio: {whole / copied:.1f}")
