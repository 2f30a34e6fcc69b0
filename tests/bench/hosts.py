"""A host of the bench: a container that boots, and is removed with all its data."""

from __future__ import annotations

import math
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

import docker
from docker.models.containers import Container

from tests.bench import machine
from tests.bench.leftovers import LABEL, remove_leftovers, this_process
from tests.bench.network import NAME, network
from tests.bench.programs import Program, program
from tests.bench.recipes import Recipe, image

__all__ = ["BenchHost", "Result", "remove_leftovers"]

ENVIRONMENT_FILE = "/etc/homelab-bench.env"


@dataclass(frozen=True)
class Result:
    """The result of a command on a host."""

    exit_code: int
    stdout: str
    stderr: str


class BenchHost:
    """A running host. Created by `start`, removed by `remove`."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.name: str = container.name

    @classmethod
    def start(
        cls,
        recipe: Recipe,
        name: str | None = None,
        *,
        systemd: bool = True,
        address: str | None = None,
        volumes: Mapping[str, str] | None = None,
        owner: str | None = None,
    ) -> BenchHost:
        """Boot a host, and remove it again if it fails to boot.

        `name` is part of the host name, `address` comes from `network.fixed_address`, `volumes` are folders or files
        of this machine by their path in the host, read-only. `owner` is the label's value, by default this process.
        """
        client = docker.from_env()
        full_name = f"bench-{name or recipe.name}-{secrets.token_hex(3)}"
        network(client)
        endpoint = client.api.create_endpoint_config(ipv4_address=address)
        container = client.containers.create(
            image(client, recipe),
            name=full_name,
            hostname=full_name,
            labels={LABEL: owner or this_process()},
            command=_systemd() if systemd else _idle(),
            stop_signal="SIGRTMIN+3" if systemd else "SIGTERM",
            network=NAME,
            networking_config={NAME: endpoint},
            volumes=[f"{source}:{target}:ro" for target, source in (volumes or {}).items()]
            + [
                "/var/lib/docker",
                "/var/lib/containerd",
                "/var/lib/containers",
                "/sys/fs/cgroup:/sys/fs/cgroup:rw",
            ],
            tmpfs={"/run": "", "/run/lock": ""},
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            device_cgroup_rules=["a *:* rwm"],
            cap_add=["ALL"],
            cap_drop=[] if machine.may_raise_limits() else ["SYS_RESOURCE"],
            cgroupns="private" if machine.cgroup_v2() else "host",
        )
        host = cls(container)
        try:
            container.start()
            if systemd:
                # "degraded" is accepted: some units cannot run in a container.
                host.wait_until(
                    "systemctl is-system-running 2>&1 | grep -qE 'running|degraded'", 60, "systemd"
                )
            host._reach_packages_as_this_machine_does()
        except BaseException:
            host.remove()
            raise
        return host

    @property
    def address(self) -> str:
        """The host's address on the bench's network."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"][NAME]["IPAddress"])

    def run(
        self,
        command: str,
        *,
        stdin: str = "",
        check: bool = True,
        timeout: float = 600,
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a shell command as root. `AssertionError` if it fails and `check` is set."""
        given = environment or {}
        names = [
            argument for name in given for argument in ("--env", name)
        ]  # values stay out of the process list
        done = subprocess.run(
            ["docker", "exec", "-i", *names, self.name, "sh", "-c", command], env={**os.environ, **given},
            input=stdin, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{self.name}: {command!r}: {done.stdout}{done.stderr}"
        return Result(done.returncode, done.stdout, done.stderr)

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self.run(f"cat '{path}'").stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in place."""
        self.run(f"mkdir -p \"$(dirname '{path}')\" && cat > '{path}' && chmod {mode} '{path}'", stdin=text)

    def give(self, *wanted: Program) -> None:
        """Copy programs to /usr/local/bin."""
        for each in wanted:
            target = f"{self.name}:/usr/local/bin/{each.name}"
            subprocess.run(["docker", "cp", str(program(each)), target], check=True, capture_output=True)

    def wait_until(self, command: str, seconds: float, what: str) -> None:
        """Wait until a command succeeds; `AssertionError` with its last output after that many seconds.

        The host itself repeats the command, since each `docker exec` costs more than most commands. It reads the loop
        from its standard input: in its arguments `pgrep -f` would find the command.
        """
        end = time.monotonic() + seconds
        last_output = "it did not answer"
        while (left := end - time.monotonic()) > 0:
            loop = (
                f"end=$(($(date +%s) + {math.ceil(left)})); until said=$({{ {command}\n}} 2>&1 </dev/null); do "
                '[ $(date +%s) -lt $end ] || { echo "$said"; exit 1; }; sleep 0.1; done'
            )
            try:
                result = self.run("sh -s", stdin=loop, check=False, timeout=left + 1)
            except subprocess.TimeoutExpired:
                break
            if result.exit_code == 0:
                return
            last_output = (result.stdout + result.stderr).strip() or f"exit code {result.exit_code}"
            time.sleep(0.1)
        raise AssertionError(f"{self.name}: {what} is not there after {seconds} s: {last_output}")

    @staticmethod
    def package_environment() -> dict[str, str]:
        """Return the `environment` with which `run` reaches package indexes as this machine does."""
        return machine.package_environment()

    def stop(self) -> None:
        """Shut the host down; its volumes stay."""
        self.container.stop(timeout=30)

    def remove(self) -> None:
        """Remove the host, with its volumes."""
        self.container.remove(force=True, v=True)

    def _reach_packages_as_this_machine_does(self) -> None:
        """Install this machine's additional CAs on the host, since a package proxy may have a certificate from one of them.

        Eight of the public CAs stay: for each of them `update-ca-certificates` starts four programs, whenever it runs.
        """
        script = f": > {ENVIRONMENT_FILE}"
        if given := sorted(machine.CA_FOLDER.glob("*.crt")):
            files = "".join(f"cat > '{path}' <<'END'\n{path.read_text()}\nEND\n" for path in given)
            line = f"PIP_CERT={machine.CA_BUNDLE}"
            script = (
                f"{files}sed -i '20,$s/^mozilla/!&/' /etc/ca-certificates.conf\n"
                f"update-ca-certificates >/dev/null 2>&1\necho {line} >> /etc/environment\n"
                f"echo 'export {line}' > {ENVIRONMENT_FILE}\n"
                f"printf '[global]\\ncert = {machine.CA_BUNDLE}\\n' > /etc/pip.conf\n"
            )
        self.run("sh -es", stdin=script)


def _systemd() -> list[str]:
    legacy = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
    return ["/sbin/init", *([] if machine.cgroup_v2() else legacy)]


def _idle() -> list[str]:
    return ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
