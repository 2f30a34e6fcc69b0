"""The deployed caches under test: their host, the fake of the registries that they ask, and clients for them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM, Recipe
from tests.caches.client import Cache
from tests.caches.hub import ACCOUNT, PASSWORD, Hub
from tests.fleet.conftest import deployment_on
from tests.fleet.disks import LOOPS, mount_disk
from tests.gateway.gateway import NAME, Gateway

MIRROR = "mirror.homelab.local"
CONTAINER = "homelab-registry-cache"
STORAGE = "/var/lib/homelab-registry-cache"
UPSTREAMS = ["docker.io", "ghcr.io", "quay.io", "registry.k8s.io"]
REGISTRY_STORAGE = "/var/lib/homelab-registry"
DISK = 2500 * 10**6
IPV6, IPV6_CLIENT = "fd00:9::7", "fd00:9::8"
"""Addresses of the registry host, which has the gateway listen on IPv6 too, and of the other host, a client. They are in
a network that may read."""

TAG_SECONDS = 1
LIMIT = 200 * 10**6


@dataclass
class Caches:
    """A registry host with caches, whose name server and whose registries in the internet are the fake."""

    hub: Hub
    gateway: Gateway

    @classmethod
    def start(
        cls, recipe: Recipe, folder: Path, packages: tuple[str, ...] = (), *, own_disk: bool = False
    ) -> Caches:
        """Boot both hosts, install packages of Debian's on the first, and deploy.

        With `own_disk` the caches and the registry share a disk of `DISK` bytes, which nothing else uses.
        """
        host = BenchHost.start(recipe)
        try:
            upstream = BenchHost.start(BOOKWORM, "hub", systemd=False)
        except BaseException:
            host.remove()
            raise
        made = cls(Hub(upstream, "", ""), Gateway(host, deployment_on(host, folder), "2.8"))
        try:
            made.hub = Hub.start(upstream)
            for each, address in ((host, IPV6), (upstream, IPV6_CLIENT)):
                each.run(
                    "mount -o remount,rw /proc/sys; cd /proc/sys/net/ipv6/conf; for each in all lo eth0; do echo 0 > "
                    f"$each/disable_ipv6; done; ip address add {address}/64 dev eth0 nodad"
                )
            host.run("systemctl restart docker")  # it looks once (IsV6Listenable)
            registry_images.load(host, caches=True)
            if own_disk:
                folders = " ".join([STORAGE, REGISTRY_STORAGE])
                host.run(f"{LOOPS}; truncate -s {DISK} /disk && mkfs.ext4 -q -F /disk")
                mount_disk(host, "/disk", "/mnt/disk")
                host.run(
                    f"for path in {folders}; do inner=/mnt/disk/${{path##*/}}; mkdir -p $inner $path; "
                    "mount --bind $inner $path; done"
                )
            if packages:  # before its name server is the fake
                install = (
                    f"apt-get update -q && apt-get install -q -y --no-install-recommends {' '.join(packages)}"
                )
                host.run(install, environment={"DEBIAN_FRONTEND": "noninteractive"})
            made.hub.serve(host)
            token = made.gateway.deployment.store.folder / "upstream" / "docker.io"
            token.parent.mkdir(parents=True, mode=0o700)
            token.write_text(f"{PASSWORD}\n")
            token.chmod(0o600)
            made.deploy()
        except BaseException:
            made.remove()
            raise
        return made

    def deploy(self, **settings: object) -> None:
        """Deploy with these settings and those that the tests need."""
        self.gateway.deploy(
            **{
                "registry_extra_names": [IPV6],
                "registry_caches": UPSTREAMS,
                "registry_cache_limit": f"{LIMIT // 10**6}MB",
                "registry_cache_keep_free": "1GB",
                "registry_cache_tag_seconds": TAG_SECONDS,
                "registry_cache_accounts": {"docker.io": ACCOUNT},
                **settings,
            }
        )

    def remove(self) -> None:
        self.gateway.host.remove()
        self.hub.host.remove()

    @property
    def mirror(self) -> Cache:
        """Return the caches as runtimes ask them: under a name of their own, without a login."""
        return Cache(self.gateway.address, 443, MIRROR, self.gateway.ca)

    @property
    def registry(self) -> Cache:
        """Return the caches below the registry's name, with the login of the pull role."""
        authorization = self.gateway.authorization("pull")
        return Cache(self.gateway.address, 443, NAME, self.gateway.ca, True, authorization)

    def restart(self) -> None:
        """Restart the caches' container, and wait until it answers."""
        self.gateway.host.run(f"docker restart -t 1 {CONTAINER}")
        self.wait()

    def wait(self, seconds: float = 30) -> None:
        """Wait until the caches answer."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self.mirror.get("/v2/unknown/blobs/x").status < 500:
                    return
            except OSError:
                pass
            assert time.monotonic() < end, f"the caches do not answer after {seconds} s"
            time.sleep(0.05)

    def used(self) -> int:
        """Return how many bytes the caches take up on the disk; du may miss a file that nginx renames."""
        return int(self.gateway.host.run(f"du -s -B1 {STORAGE}", check=False).stdout.split()[0])

    def free(self) -> int:
        """Return how many bytes of their disk are free."""
        return int(self.gateway.host.run(f"df --output=avail -B1 {STORAGE} | tail -n 1").stdout)

    @staticmethod
    def let_tags_expire() -> None:
        """Wait until the caches ask again what each tag means: nginx counts whole seconds."""
        time.sleep(TAG_SECONDS + 1.1)
