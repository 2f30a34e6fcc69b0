"""Whatever is changed by hand, the next run fixes exactly that. tests/chain shows that it otherwise changes nothing."""

from __future__ import annotations

import pytest

from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment

CONF = "/etc/homelab-registry"
PROOF = "ask the gateway for its certificate: it has a new one"
CA = "/etc/docker/certs.d/registry.homelab.local/ca.crt"
REGISTRY, GATEWAY = "homelab-registry", "homelab-registry-gateway"


def recreate_step(container: str, reason: str) -> str:
    verb = "create" if reason == "it does not exist" else "recreate"
    return f"{verb} the container {container}: {reason}"


DRIFT = {
    "certificate changed": (f"echo x >> {CONF}/gateway/tls/tls.pem",
        [f"write {CONF}/gateway/tls/tls.pem: its content is not as it should be", PROOF]),
    "certificate removed": (f"rm {CONF}/gateway/tls/tls.pem", [f"write {CONF}/gateway/tls/tls.pem: it is missing", PROOF]),
    "certificate mode": (f"chmod 0644 {CONF}/gateway/tls/tls.pem",
        [f"set owner and mode of {CONF}/gateway/tls/tls.pem: its mode is 0644, not 0600"]),
    "certificate owner": (f"chown 0:0 {CONF}/gateway/tls/tls.pem",
        [f"set owner and mode of {CONF}/gateway/tls/tls.pem: it belongs to 0:0, not 60706:60706"]),
    "gateway configuration changed": (f"echo '#' >> {CONF}/gateway/nginx.conf",
        [f"write {CONF}/gateway/nginx.conf: its content is not as it should be",
         recreate_step(GATEWAY, "its configuration changes")]),
    "gateway configuration mode": (f"chmod 0640 {CONF}/gateway/nginx.conf",
        [f"set owner and mode of {CONF}/gateway/nginx.conf: its mode is 0640, not 0600"]),
    "registry configuration removed": (f"rm {CONF}/registry/config.yml",
        [f"write {CONF}/registry/config.yml: it is missing", recreate_step(REGISTRY, "its configuration changes")]),
    "registry configuration owner": (f"chown 0:0 {CONF}/registry/config.yml",
        [f"set owner and mode of {CONF}/registry/config.yml: it belongs to 0:0, not 60706:60706"]),
    "htpasswd changed": (f"echo 'evil:x' >> {CONF}/registry/htpasswd",
        [f"write {CONF}/registry/htpasswd: its content is not as it should be"]),
    "htpasswd removed": (f"rm {CONF}/registry/htpasswd", [f"write {CONF}/registry/htpasswd: it is missing"]),
    "htpasswd mode": (f"chmod 0604 {CONF}/registry/htpasswd",
        [f"set owner and mode of {CONF}/registry/htpasswd: its mode is 0604, not 0600"]),
    "folder mode": (f"chmod 0755 {CONF}/gateway", [f"set owner and mode of {CONF}/gateway: its mode is 0755, not 0700"]),
    "folder owner": (f"chown 0:0 {CONF}/run", [f"set owner and mode of {CONF}/run: it belongs to 0:0, not 60706:60706"]),
    "storage mode": ("chmod 0777 /var/lib/homelab-registry",
        ["set owner and mode of /var/lib/homelab-registry: its mode is 0777, not 0700"]),
    "folder replaced": (f"cp -a {CONF}/registry {CONF}/r && rm -rf {CONF}/registry && mv {CONF}/r {CONF}/registry",
        [recreate_step(REGISTRY, f"it does not see the folder {CONF}/registry that is there now")]),
    "half-written file": (f"echo half > {CONF}/registry/.htpasswd.homelab-new",
        [f"remove {CONF}/registry/.htpasswd.homelab-new: a run was killed while writing it"]),
    "registry stopped": (f"docker stop {REGISTRY}", [recreate_step(REGISTRY, "it is exited")]),
    "registry killed and removed": (f"docker rm -f {REGISTRY}", [recreate_step(REGISTRY, "it does not exist")]),
    "registry updated": (f"docker update --memory 512m --memory-swap 1g {REGISTRY}",
        [recreate_step(REGISTRY, "its Memory was changed to 536870912")]),
    "registry paused": (f"docker pause {REGISTRY}", [recreate_step(REGISTRY, "it is paused")]),
    "registry connected elsewhere": (f"docker network disconnect none {REGISTRY} && docker network connect bridge {REGISTRY}",
        [recreate_step(REGISTRY, "it is not connected to the network none alone")]),
    "gateway stopped": (f"docker stop {GATEWAY}", [recreate_step(GATEWAY, "it is exited")]),
    "gateway removed": (f"docker rm -f {GATEWAY}", [recreate_step(GATEWAY, "it does not exist")]),
    "gateway restart policy": (f"docker update --restart no {GATEWAY}",
        [recreate_step(GATEWAY, 'its RestartPolicy was changed to {"Name": "no", "MaximumRetryCount": 0}')]),
    "gateway disconnected": (f"docker network disconnect homelab-registry {GATEWAY}",
        [recreate_step(GATEWAY, "it is not connected to the network homelab-registry alone")]),
    "gateway connected to a second network": (f"docker network connect bridge {GATEWAY}",
        [recreate_step(GATEWAY, "it is not connected to the network homelab-registry alone")]),
    "CA changed": (f"echo '# x' >> {CA}", [f"write {CA}: its content is not as it should be"]),
    "CA removed": (f"rm {CA}", [f"write {CA}: it is missing"]),
    "CA mode": (f"chmod 0600 {CA}", [f"set owner and mode of {CA}: its mode is 0600, not 0644"]),
    "entry removed": ("sed '/homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
        ["write /etc/hosts: our entry is missing"]),
    "entry changed": ("sed 's/^.*# homelab-registry$/192.168.9.9 x # homelab-registry/' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
        ["write /etc/hosts: our entry is not as it should be"]),
}  # fmt: skip


def untouched_start_times(host: BenchHost, touched: list[str]) -> dict[str, str]:
    """Return when each container that the steps do not recreate was started."""
    return {
        name: host.run(f"docker inspect -f '{{{{.State.StartedAt}}}}' {name}").stdout
        for name in (REGISTRY, GATEWAY)
        if not any(f"create the container {name}" in step for step in touched)
    }


@pytest.mark.parametrize("name", DRIFT)
def test_drift_is_fixed_exactly(host: BenchHost, deployment: Deployment, name: str) -> None:
    command, expected = DRIFT[name]
    user_lines = host.run("grep -v 'homelab-registry$' /etc/hosts").stdout
    host.run(command)
    before = untouched_start_times(host, expected)
    planned = deployment.plan()
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    assert ran.steps == expected
    assert planned.steps == expected
    assert untouched_start_times(host, expected) == before
    # The plan of the next case shows that nothing is left to do.
    assert host.run("grep -v 'homelab-registry$' /etc/hosts").stdout == user_lines


def test_afterwards_nothing_is_left_to_do(deployment: Deployment) -> None:
    assert deployment.run().steps == []
