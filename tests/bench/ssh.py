"""SSH access to the bench's hosts, with a key made for the run and host keys that are known in advance."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.hosts import BenchHost

OPERATOR = "op"
SETUP_SCRIPT = """\
id -u {operator} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {operator}
for user in root {operator}; do
    folder=$(getent passwd $user | cut -d : -f 6)/.ssh
    mkdir -p $folder
    echo '{key}' > $folder/authorized_keys
    chmod 0700 $folder
    chmod 0600 $folder/authorized_keys
    chown -R $user: $folder
done
if command -v sudo >/dev/null; then
    echo '{operator} ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/{operator}
    chmod 0440 /etc/sudoers.d/{operator}
fi
mkdir -p /run/sshd
rm -f /etc/ssh/ssh_host_*_key*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
service ssh restart
"""


def make_key(folder: Path) -> Path:
    """Make a key pair in a folder if it has none, and return the private key's path; the public key's has `.pub` added."""
    key = folder / "id_ed25519"
    if not key.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "homelab-bench", "-f", str(key)], check=True
        )
    return key


def allow_key(host: BenchHost, key: Path) -> None:
    """Allow logins with the key as root and as `op`, a normal user with passwordless sudo if sudo is installed.

    The host also gets a new host key, since all hosts of an image have the same ones.
    """
    host.run(
        "sh -es",
        stdin=SETUP_SCRIPT.format(operator=OPERATOR, key=key.with_suffix(".pub").read_text().strip()),
    )
    host.wait_until("ss -Htln 'sport = :22' | grep -q .", 30, "sshd")


def host_data(host: BenchHost, key: Path, user: str = OPERATOR) -> dict[str, str | int]:
    """Return pyinfra's data for the host, and write its host keys to a known_hosts file beside `key`."""
    known = key.parent / f"known_hosts-{host.name}"
    keys = host.run("cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines()
    known.write_text("".join(f"{host.address} {' '.join(line.split()[:2])}\n" for line in keys))
    return {
        "ssh_hostname": host.address,
        "ssh_port": 22,
        "ssh_user": user,
        "ssh_key": str(key),
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
    }
