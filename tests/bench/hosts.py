"""A host of the bench: a container that boots, and is gone with all that it had."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from tests.bench.recipes import Recipe, image

LABEL = "homelab-bench"
SYS_RESOURCE = 1 << 24  # capability number 24 (linux/capability.h)
CA_FOLDER = "/usr/local/share/ca-certificates"


@dataclass(frozen=True)
class Result:
    """What a command on a host came to."""

    exit_code: int
    stdout: str
    stderr: str


class BenchHost:
    """A running host. Made by `start`, ended by `remove`."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.name: str = container.name

    @classmethod
    def start(
        cls, recipe: Recipe, *, systemd: bool = True, volumes: Mapping[str, str] | None = None
    ) -> BenchHost:
        """Boot a host. `volumes` are folders of this machine by their path in the host, read-only."""
        client = docker.from_env()
        name = f"bench-{recipe.name}-{secrets.token_hex(3)}"
        mounts = ["/var/lib/docker", "/var/lib/containerd"]
        container = client.containers.create(
            image(client, recipe),
            name=name,
            hostname=name,
            labels={LABEL: _me()},
            command=_init()
            if systemd
            else ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"],
            volumes=[f"{source}:{target}:ro" for target, source in (volumes or {}).items()]
            + mounts
            + ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
            tmpfs={"/run": "", "/run/lock": ""},
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            device_cgroup_rules=["a *:* rwm"],
            cap_add=["ALL"],
            cap_drop=[] if _may_raise_limits() else ["SYS_RESOURCE"],
            cgroupns="private" if _cgroup_v2() else "host",
        )
        container.start()
        host = cls(container)
        if systemd:
            # "degraded" is as good: one unit that a container cannot have does not matter.
            host.wait_until("systemctl is-system-running 2>&1 | grep -qE 'running|degraded'", 60, "systemd")
        host._trust_this_machine_s_proxy()
        return host

    @property
    def address(self) -> str:
        """The host's address on the bench's network."""
        self.container.reload()
        networks: dict[str, Any] = self.container.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def run(self, command: str, *, stdin: str = "", check: bool = True, timeout: float = 600) -> Result:
        """Run a shell command as root. `AssertionError` where it fails and `check` is on."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, "sh", "-c", command],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{self.name}: {command!r}: {done.stdout}{done.stderr}"
        return Result(done.returncode, done.stdout, done.stderr)

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self.run(f"cat '{path}'").stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in place."""
        self.run(f"mkdir -p \"$(dirname '{path}')\" && cat > '{path}' && chmod {mode} '{path}'", stdin=text)

    def wait_until(self, command: str, seconds: float, what: str) -> None:
        """Wait until a command succeeds; `AssertionError` after that many seconds."""
        end = time.monotonic() + seconds
        while self.run(command, check=False).exit_code != 0:
            assert time.monotonic() < end, f"{self.name}: {what} is not there after {seconds} s"
            time.sleep(0.1)

    def remove(self) -> None:
        """End the host, with its volumes."""
        self.container.remove(force=True, v=True)

    def _trust_this_machine_s_proxy(self) -> None:
        """Give the host the CAs this machine was given, since its packages may come through a proxy with one of them."""
        given = list(Path(CA_FOLDER).glob("*.crt"))
        for path in given:
            self.write(f"{CA_FOLDER}/{path.name}", path.read_text())
        if given:
            self.run("update-ca-certificates >/dev/null 2>&1")
            self.write("/etc/pip.conf", "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")


def remove_leftovers() -> list[str]:
    """Remove the hosts of runs whose process is gone; return their names."""
    gone = []
    for container in docker.from_env().containers.list(all=True, filters={"label": LABEL}):
        if not _alive(container.labels[LABEL]):
            container.remove(force=True, v=True)
            gone.append(str(container.name))
    return gone


def _me() -> str:
    return f"{os.getpid()}-{_start_time(os.getpid())}"


def _alive(run: str) -> bool:
    pid, _, started = run.partition("-")
    return _start_time(int(pid)) == started


def _start_time(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks, so that a number used again is not taken for the old one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return None


def _init() -> list[str]:
    legacy = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
    return ["/sbin/init", *([] if _cgroup_v2() else legacy)]


def _cgroup_v2() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) & SYS_RESOURCE)
