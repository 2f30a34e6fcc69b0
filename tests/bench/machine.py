"""What the machine that the bench runs on has, and what its hosts are given because of it."""

from __future__ import annotations

import os
from pathlib import Path

SYS_RESOURCE = 1 << 24  # capability number 24 (linux/capability.h)
CA_FOLDER = Path("/usr/local/share/ca-certificates")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def cgroup_v2() -> bool:
    """Whether cgroups are of the second version only."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def may_raise_limits() -> bool:
    """Whether the machine has CAP_SYS_RESOURCE to give to a host."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) & SYS_RESOURCE)


def package_environment() -> dict[str, str]:
    """Return the variables by which packages are reached from here, as far as they mean the same inside a host.

    Of pip's those with addresses, not with paths of this machine; the proxies, and what goes past them.
    """
    found = {}
    for name, value in os.environ.items():
        lower = name.lower()
        if lower == "no_proxy" or ("://" in value and (name.startswith("PIP_") or lower in PROXIES)):
            found[name] = value
    if list(CA_FOLDER.glob("*.crt")):
        found["PIP_CERT"] = CA_BUNDLE
    return found
