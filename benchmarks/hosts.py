"""The hosts to measure on: boot them, write their inventories for pyinfra and Ansible, reset them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.bench.ssh import allow_key, host_data, make_key

SYSTEMD_HOSTS = 10
"""How many hosts run systemd. Each takes half a dozen inotify instances, and by default the kernel grants a user 128.
Further hosts run only sshd and Docker Engine."""

NODE_EVERY = 4
"""Every fourth host with systemd is a cluster node with containerd; the others are Docker hosts."""

PREPARE = """
export DEBIAN_FRONTEND=noninteractive
cp /etc/containerd/config.toml /root/config.toml
case $(hostname) in (bench-registry-*)
    apt-get update -q && apt-get install -q -y python3-requests ;;  # for Ansible's modules of Docker
esac
"""

RESET = """
docker rm -f homelab-registry homelab-registry-gateway >/dev/null 2>&1
docker network rm homelab-registry >/dev/null 2>&1
rm -rf /etc/homelab-registry /var/lib/homelab-registry /etc/docker/certs.d /etc/containerd/certs.d
sed '/# homelab-registry$/d' /etc/hosts > /root/hosts && cat /root/hosts > /etc/hosts || exit 1
if ! cmp -s /root/config.toml /etc/containerd/config.toml; then
    cp /root/config.toml /etc/containerd/config.toml && systemctl restart containerd
fi
"""
"""Removes what deploy.py and the playbook made, except packages and images."""


SAME = "registry_web = False\n"
"""The playbook makes no web page."""


@dataclass(frozen=True)
class Hosts:
    """Running hosts. `folder` contains their inventories, the state of deploy.py and the secrets of the playbook."""

    fleet: Fleet
    folder: Path

    @classmethod
    def start(cls, count: int, folder: Path) -> Hosts:
        """Boot `count` hosts with Docker Engine and containerd."""
        with_systemd, without = host_names(count)[:SYSTEMD_HOSTS], host_names(count)[SYSTEMD_HOSTS:]
        hosts = cls(Fleet.start(dict.fromkeys(with_systemd, BOOKWORM_DOCKER), folder), folder)
        try:
            for name in without:
                host = hosts.fleet.hosts[name] = BenchHost.start(BOOKWORM_DOCKER, name, systemd=False)
                host.run("setsid dockerd >/var/log/dockerd.log 2>&1 &")
                key = make_key(folder)
                allow_key(host, key)
                hosts.fleet.data[name] = host_data(host, key)
            for host in hosts.fleet.hosts.values():
                host.wait_until("docker info", 120, "Docker Engine")
            hosts.run(PREPARE)
        except BaseException:
            hosts.fleet.remove()
            raise
        data = folder / "group_data"
        data.mkdir()
        (data / "all.py").write_text(f"registry_state_dir = {str(hosts.state)!r}\n{SAME}")
        return hosts

    @property
    def state(self) -> Path:
        """The state folder of deploy.py."""
        return self.folder / "state"

    @property
    def secrets(self) -> Path:
        """The folder with the playbook's keys and passwords."""
        return self.folder / "secrets"

    def run(self, command: str) -> None:
        """Run a command on all hosts as root, four at a time."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda host: host.run(command), self.fleet.hosts.values()))

    def reset(self) -> None:
        """Remove what deploy.py and the playbook made, on the hosts and on the controller."""
        self.run(RESET)
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.secrets, ignore_errors=True)

    def for_pyinfra(self, count: int) -> Path:
        """Write a pyinfra inventory of the first `count` hosts, and return its path."""
        path = self.folder / f"hosts_{count}.py"
        path.write_text(self.fleet.inventory(groups(count)))
        return path

    def for_ansible(self, count: int) -> Path:
        """Write the same inventory for Ansible, and return its path."""
        path = self.folder / f"hosts_{count}.json"
        path.write_text(
            json.dumps({group: {"hosts": self._host_vars(names)} for group, names in groups(count).items()})
        )
        return path

    def _host_vars(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        return {
            name: {
                "ansible_host": str(data["ssh_hostname"]),
                "ansible_user": str(data["ssh_user"]),
                "ansible_ssh_private_key_file": str(data["ssh_key"]),
                "ansible_ssh_common_args": f"-o UserKnownHostsFile={data['ssh_known_hosts_file']}",
            }
            for name, data in ((name, self.fleet.data[name]) for name in names)
        }


def host_names(count: int) -> list[str]:
    """Return the names of the first `count` hosts."""
    return ["registry", *(f"host-{number:02}" for number in range(2, count + 1))]


def groups(count: int) -> dict[str, list[str]]:
    """Return the inventory groups of the first `count` hosts."""
    nodes = host_names(count)[NODE_EVERY - 1 : SYSTEMD_HOSTS : NODE_EVERY]
    return {
        "registry": ["registry"],
        "docker_hosts": [name for name in host_names(count) if name not in nodes],
        "cluster_nodes": nodes,
    }


def count_hosts(count: int) -> str:
    """Return a number of hosts with its noun."""
    return f"{count} host{'s' if count > 1 else ''}"
