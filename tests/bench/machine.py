"""The abilities of the machine on which the bench runs, and what its hosts get from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import docker
from docker.errors import DockerException

SYS_ADMIN, SYS_RESOURCE = 1 << 21, 1 << 24  # capabilities number 21 and 24 (linux/capability.h)
CA_FOLDER = Path("/usr/local/share/ca-certificates")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CGROUPS = Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES = 512
"""All hosts of all tests at once need some 130 inotify instances of root, and Linux gives 128: the next kubelet or
systemd then ends with "too many open files". This is what kind asks for (its known issues, "too many open files")."""

PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def cgroup_v2() -> bool:
    """Return whether this machine has only cgroup v2."""
    return (CGROUPS / "cgroup.controllers").exists()


def missing_requirement() -> str | None:
    """Return what this machine lacks for hosts in containers, or None. What can be installed does not count as missing."""
    if os.geteuid() != 0:
        return "root's rights: hosts in containers are booted as root"
    if shutil.which("apt-get") is None:
        return "apt-get: hosts in containers are made from Debian's packages, by a Debian or one of its kind"
    if not CGROUPS.is_dir() or not any(CGROUPS.iterdir()):
        return f"control groups: nothing is mounted at {CGROUPS}, and systemd on a host needs them"
    if not (_may(SYS_ADMIN) or engine_answers()):
        return (
            "Docker Engine and the capability SYS_ADMIN to start one: a container needs --privileged for it"
        )
    return None


def raise_inotify_limit() -> None:
    """Let root have `INSTANCES` inotify instances, until this machine restarts.

    Raises `OSError` if that is not permitted, as in a container whose /proc/sys is read-only.
    """
    if int(INOTIFY.read_text()) < INSTANCES:
        INOTIFY.write_text(f"{INSTANCES}\n")


def engine_answers() -> bool:
    """Return whether Docker Engine runs here."""
    try:
        docker.from_env().ping()
    except DockerException:
        return False
    return True


def may_raise_limits() -> bool:
    """Return whether the machine has CAP_SYS_RESOURCE to give to a host."""
    return _may(SYS_RESOURCE)


def _may(capability: int) -> bool:
    status = STATUS.read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) & capability)


def package_environment() -> dict[str, str]:
    """Return the environment variables for package downloads that are also valid inside a host.

    These are pip's variables with URLs (not with paths of this machine), the proxies, and their exceptions.
    """
    found = {}
    for name, value in os.environ.items():
        lower = name.lower()
        if lower == "no_proxy" or ("://" in value and (name.startswith("PIP_") or lower in PROXIES)):
            found[name] = value
    if list(CA_FOLDER.glob("*.crt")):
        found["PIP_CERT"] = CA_BUNDLE
    return found
