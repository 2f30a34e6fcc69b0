"""The bench's hosts reached over SSH, with a key made for the run and host keys that are known beforehand."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.hosts import BenchHost

OPERATOR = "op"


def make_key(folder: Path) -> Path:
    """Make a key pair in a folder, once, and return the private half; the other is beside it, with `.pub`."""
    key = folder / "id_ed25519"
    if not key.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "homelab-bench", "-f", str(key)], check=True
        )
    return key


def open_to(host: BenchHost, key: Path) -> None:
    """Let the key in as root and as `op`, who is nobody special but for sudo without a password where there is sudo.

    The host gets a key of its own, too: those of the image are the same for all.
    """
    public = key.with_suffix(".pub").read_text()
    host.run(f"id -u {OPERATOR} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {OPERATOR}")
    for user, home in (("root", "/root"), (OPERATOR, f"/home/{OPERATOR}")):
        host.write(f"{home}/.ssh/authorized_keys", public, "0600")
        host.run(f"chmod 0700 {home}/.ssh && chown -R {user}: {home}/.ssh")
    if host.run("command -v sudo", check=False).exit_code == 0:
        host.write(f"/etc/sudoers.d/{OPERATOR}", f"{OPERATOR} ALL=(ALL:ALL) NOPASSWD: ALL\n", "0440")
    host.run(
        "mkdir -p /run/sshd && rm -f /etc/ssh/ssh_host_*_key* "
        "&& ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && service ssh restart"
    )
    host.wait_until("ss -Htln 'sport = :22' | grep -q .", 30, "sshd")


def host_data(host: BenchHost, key: Path, user: str = OPERATOR) -> dict[str, str | int]:
    """Return pyinfra's data for the host, whose keys are read from the host itself and beside the key noted down."""
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
