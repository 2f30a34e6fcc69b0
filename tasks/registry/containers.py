"""The two containers: how each is started, and how a present one differs from that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.settings.listen import ALL, ALL_IPV4

UID = 60706
"""User and group of both containers: a number that neither Debian nor systemd assigns (systemd's UIDS-GIDS,
"unused"), and below 65536, so that it exists in an unprivileged LXC guest too."""

FORMER_UID = 60705
"""The one before. Newer systemd gives 60578 to 60705 to dynamic greeters (systemd#37560). A deployment that has it
keeps it: while all images are given to another user, pushes fail, and so do handshakes."""

OPEN_FILES = 16384
"""Docker 29 and containerd 2.1.5 start containers with 1,024 (moby#51485)."""

STOP_SECONDS = 40
"""Seconds that requests under way get before a container is killed; the registry's own draintimeout is 30."""

LABEL = "homelab-registry.spec"
MEMORY_LABEL = "homelab-registry.memory"
"""A label with the memory limit that a container was started with, in bytes: another one is the owner's."""

SOCKET_LABEL = "homelab-registry.socket"
"""Names the socket of a registry's container, a file in the folder of sockets."""

UNWATCHED = ("com.centurylinklabs.watchtower.enable=false", "wud.watch=false", "diun.enable=false")
"""Labels that keep Watchtower, WUD and Diun away: they would look for another image, and replace what runs."""

RESTART_POLICY = {"Name": "unless-stopped", "MaximumRetryCount": 0}
LIMITS = {
    "BlkioWeight": "blkio-weight", "CpuShares": "cpu-shares", "CpuPeriod": "cpu-period", "CpuQuota": "cpu-quota",
    "CpuRealtimePeriod": "cpu-rt-period", "CpuRealtimeRuntime": "cpu-rt-runtime", "CpusetCpus": "cpuset-cpus",
    "CpusetMems": "cpuset-mems", "MemoryReservation": "memory-reservation", "PidsLimit": "pids-limit",
}  # fmt: skip
"""What an owner limits with `docker update`: the engine's report, and the option of `docker create`."""

NETWORK = "homelab-registry"
REGISTRY = "homelab-registry"
GATEWAY = "homelab-registry-gateway"
NEXT, FORMER = "-next", "-former"
"""End the name of a container that is about to replace one, and of one that was replaced."""

CONFIG = "/etc/registry"
STORAGE = "/var/lib/registry"
SOCKETS = "/run/registry"
SOCKET = f"{SOCKETS}/registry.sock"
"""What the gateway connects to: a symbolic link to the socket of the registry in service."""

GATEWAY_CONFIG = "/etc/gateway"
CERTIFICATE = f"{GATEWAY_CONFIG}/tls/current.pem"
GATEWAY_PORT = 8443
HEALTH_ADDRESS = "127.0.0.1:5001"


@dataclass(frozen=True)
class Mount:
    """A folder of the host inside a container. Never a single file: it would keep its old inode (moby#22627)."""

    source: str
    target: str
    writable: bool = False


class Memory(Mount):
    """A volume in memory that containers share: `source` is its name. It is gone when the last of them stops."""


@dataclass(frozen=True)
class Container:
    """How a container is started. `image` is a local tag, or name@digest.

    `config` is the one file that it reads only at its start, `config_sha256` the digest that this file should have.
    `memory` limits it, in bytes. `publish` is the port of the host that leads to it, `listen` the host's address there.
    """

    name: str
    image: str
    command: tuple[str, ...]
    health_path: str
    mounts: tuple[Mount, ...]
    config: str
    config_sha256: str
    memory: int
    network: str = "none"
    publish: int | None = None
    listen: str = ""
    stop_signal: str = "SIGTERM"
    environment: tuple[str, ...] = ()
    user: int = UID

    @property
    def digest(self) -> str:
        """SHA-256 of all that makes the container; a label on it carries this value."""
        return hashlib.sha256(json.dumps([asdict(self), create(self, "")]).encode()).hexdigest()

    @property
    def health(self) -> str:
        """The health check. Alpine's images and ours have wget, Debian's nginx image has curl."""
        url = f"http://{HEALTH_ADDRESS}{self.health_path}"
        return f"wget -q -O /dev/null {url} || curl -fs -o /dev/null {url}"

    @property
    def read_at_start(self) -> tuple[str, ...]:
        """Paths on the host of all that the container reads only at its start."""
        return (self.config,)

    @property
    def bounds(self) -> tuple[str, ...]:
        """Further arguments of `docker create`."""
        return ()


def registry(image: str, folder: str, storage: str, config_sha256: str, user: int = UID) -> Container:
    """Return the registry's container. It has no network: the gateway reaches it by a socket in a shared folder."""
    return Container(
        name=REGISTRY,
        image=image,
        command=("registry", "serve", f"{CONFIG}/config.yml"),
        health_path="/debug/health",
        mounts=(
            Mount(f"{folder}/registry", CONFIG),
            Mount(f"{folder}/run", SOCKETS, writable=True),
            Mount(storage, STORAGE, writable=True),
        ),
        config=f"{folder}/registry/config.yml",
        config_sha256=config_sha256,
        # 3.x sends traces to localhost:4318 otherwise. By default Go collects garbage whenever its heap of 4 MB has
        # doubled: here every few requests, at a quarter of the cost of each (go.dev/doc/gc-guide). The limit bounds
        # what many requests at once leave behind; more than 32 MB made them no cheaper.
        environment=("OTEL_TRACES_EXPORTER=none", "GOGC=1600", "GOMEMLIMIT=32MiB"),
        memory=512 * 2**20,
        user=user,
    )


def gateway(
    image: str,
    folder: str,
    storage: str,
    port: int,
    config_sha256: str,
    user: int = UID,
    listen: str = ALL_IPV4,
    start: str = "",
    shared: Sequence[Mount] = (),
) -> Container:
    """Return the gateway's container. Only its port is published, and it cannot write to the images.

    An empty `listen` is all addresses, of IPv6 too. `start` is a script that ends in nginx, if not nginx alone is to be
    started, `shared` what else it is to see.
    """
    return Container(
        name=GATEWAY,
        image=image,
        command=("sh", "-c", start) if start else ("nginx", "-c", f"{GATEWAY_CONFIG}/nginx.conf"),
        health_path="/",
        mounts=(
            Mount(f"{folder}/gateway", GATEWAY_CONFIG),
            Mount(f"{folder}/run", SOCKETS),
            Mount(storage, STORAGE),
            *shared,
        ),
        config=f"{folder}/gateway/nginx.conf",
        config_sha256=config_sha256,
        # A transfer takes at most 5 MB (tests/gateway/test_large_layers.py), and most take far less.
        memory=2**30,
        network=NETWORK,
        publish=port,
        listen=listen,
        stop_signal="SIGQUIT",  # nginx finishes open requests; SIGTERM would cut them off
        user=user,
    )


def create(container: Container, digest: str, kept: Sequence[str] = ()) -> list[str]:
    """Return the arguments of `docker create`, without the name and the port, which a script adds.

    `kept` are those of `owner_limits`.
    """
    arguments = [
        f"--label={LABEL}={digest}",
        *(f"--label={label}" for label in UNWATCHED),
        f"--network={container.network}",
        f"--user={container.user}:{container.user}",
        # An engine with userns-remap would give the containers other ids than the files have (docs.docker.com,
        # "Isolate containers with a user namespace"). No container here has root or a capability.
        "--userns=host",
        "--restart=unless-stopped",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--ulimit=nofile={OPEN_FILES}:{OPEN_FILES}",
        f"--label={MEMORY_LABEL}={container.memory}",
        f"--memory={container.memory}",
        *container.bounds,
        *kept,
        "--tmpfs=/tmp:rw,noexec,nosuid,nodev,mode=1777,size=64m",
        "--log-driver=json-file",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=5",
        f"--health-cmd={container.health}",
        "--health-interval=10s",
        "--health-timeout=5s",
        "--health-retries=3",
        f"--stop-signal={container.stop_signal}",
        f"--stop-timeout={STOP_SECONDS}",
        *(f"--env={variable}" for variable in container.environment),
        *(_mount(mount) for mount in container.mounts),
    ]
    program, *rest = container.command
    return [*arguments, f"--entrypoint={program}", container.image, *rest]


def drift(container: Container, found: Mapping[str, Any] | None, image_id: str | None) -> str | None:
    """Return why the container must be recreated, or None.

    `found` is `docker inspect`'s report. The label shows what we changed since; only the report shows what others did
    (`docker update --restart`, `network disconnect`). `image_id` is the id of the image that the container should run,
    None if that image is not there yet.
    """
    if found is None:
        return "it does not exist"
    config, host = found["Config"], found["HostConfig"]
    if (open_on := _published_on(found)) and open_on != [container.listen]:
        return f"its port is open on {_addresses(open_on)}, not on {_addresses([container.listen])}"
    if (config.get("Labels") or {}).get(LABEL) != container.digest:
        return "it was started in another way"
    if found["Image"] != image_id:
        return "it runs another image"
    if (present := host.get("RestartPolicy")) != RESTART_POLICY:
        return f"its RestartPolicy was changed to {json.dumps(present)}"
    if list(found["NetworkSettings"]["Networks"] or {}) != [container.network]:
        return f"it is not connected to the network {container.network} alone"
    if not found["State"]["Running"] or found["State"].get("Paused"):
        return f"it is {found['State']['Status']}"
    if found["State"].get("Health", {}).get("Status") == "unhealthy":
        return "it is unhealthy"
    return None


def is_ours(found: Mapping[str, Any]) -> bool:
    """Return whether this project made a container."""
    return LABEL in (found["Config"].get("Labels") or {})


def socket(found: Mapping[str, Any]) -> str | None:
    """Return the name of the socket that a registry's container listens on; None if it takes the link's own place."""
    label: str | None = (found["Config"].get("Labels") or {}).get(SOCKET_LABEL)
    return label


def published(found: Mapping[str, Any]) -> set[int]:
    """Return the ports of the host that lead to a container now."""
    bindings = found.get("NetworkSettings", {}).get("Ports") or {}
    return {int(binding["HostPort"]) for port in bindings.values() for binding in port or ()}


def _published_on(found: Mapping[str, Any]) -> list[str]:
    bindings = found["HostConfig"].get("PortBindings") or {}
    return [binding.get("HostIp", "") for port in bindings.values() for binding in port or ()]


def _addresses(listen: list[str]) -> str:
    named = {ALL: "all addresses, of IPv6 too", ALL_IPV4: "all IPv4 addresses"}
    return " and ".join(named.get(each, each) for each in listen)


def owner_limits(found: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `docker create` for the limits that the owner set with `docker update`: they stay."""
    host, labels = found["HostConfig"], found["Config"].get("Labels") or {}
    limits = [f"--{option}={host[name]}" for name, option in LIMITS.items() if host.get(name)]
    if cpus := host.get("NanoCpus"):
        limits.append(f"--cpus={cpus / 10**9}")
    if (memory := host.get("Memory")) and str(memory) != labels.get(MEMORY_LABEL):
        limits.append(f"--memory={memory}")
        if swap := host.get("MemorySwap"):
            limits.append(f"--memory-swap={swap}")
    return limits


def _mount(mount: Mount) -> str:
    if isinstance(mount, Memory):
        # Its root is for everyone, as /tmp is: no one else has it.
        options = 'volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=32m,mode=1777"'
        return (
            f"--mount=type=volume,source={mount.source},target={mount.target},volume-driver=local,{options}"
        )
    return f"--mount=type=bind,source={mount.source},target={mount.target}" + (
        "" if mount.writable else ",readonly"
    )
