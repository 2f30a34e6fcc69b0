"""A host's files: everything that a run could change, and what a killed run may have left."""

from __future__ import annotations

from pathlib import Path

from tests.bench.hosts import BenchHost


def listing(host: BenchHost) -> str:
    """Return content, owner and mode of everything that a run could change."""
    where = "/etc /root /home /usr/local /var/lib/kubelet /var/lib/homelab-registry"
    return host.run(
        f"find {where} -type f -exec sha256sum {{}} + 2>/dev/null | sort;"
        f"find {where} -printf '%p %y %m %U %G\\n' 2>/dev/null | sort; ls /run | grep homelab; true"
    ).stdout


def half_written(host: BenchHost) -> list[str]:
    """Return the files under their final names that are incomplete: each must end as its format requires."""
    ends = {
        "/etc/homelab-registry/gateway/tls/current.pem": "-----END PRIVATE KEY-----",
        "/etc/homelab-registry/gateway/nginx.conf": "}",
        "/etc/homelab-registry/registry/config.yml": "    threshold: 3",
        "/etc/docker/certs.d/registry.homelab.local/ca.crt": "-----END CERTIFICATE-----",
    }
    found = [
        path
        for path, end in ends.items()
        if host.run(f"[ ! -e {path} ] || [ \"$(tail -n 1 {path})\" = '{end}' ]", check=False).exit_code != 0
    ]
    htpasswd = "/etc/homelab-registry/registry/htpasswd"
    if (
        host.run(
            f"[ ! -e {htpasswd} ] || [ $(grep -cE '^[a-z]+:.{{60}}$' {htpasswd}) -eq 3 ]", check=False
        ).exit_code
        != 0
    ):
        found.append(htpasswd)
    return found


def temporary_files(host: BenchHost, state: Path) -> list[str]:
    """Return temporary files of unfinished writes, on the host and in the state on this machine."""
    names = host.run(
        "find $(ls -d /etc /var/lib/homelab-registry /var/tmp /tmp 2>/dev/null) -name '*homelab-*' -not -path '/etc/homelab-registry' "
        "-not -name .homelab-registry"
    )
    there = [line for line in names.stdout.splitlines() if ".homelab-" in line or "homelab-registry." in line]
    return (
        there + [str(path) for path in state.rglob(".*.new")] + [str(path) for path in state.rglob(".new-*")]
    )
