"""A real CoreDNS with K3s' configuration, and the ConfigMap by which docs/other-machines.md gives it the registry's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests import pages
from tests.bench.cluster import Cluster
from tests.bench.programs import COREDNS

FOLDER = "/etc/coredns"
CONFIG_MAP = ("configmap", "coredns-custom", "-n", "kube-system")
COREFILE = """\
.:53 {
    errors
    health
    ready
    hosts /etc/coredns/NodeHosts {
        ttl 60
        reload 15s
        fallthrough
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
    forward . /etc/resolv.conf
}
import /etc/coredns/custom/*.server
"""
"""K3s' own (k3s: manifests/coredns.yaml), without the plugin kubernetes, which needs the rights of a pod."""


def page_s_config_map(address: str) -> str:
    """Return the manifest from the page, with the address of a registry."""
    manifest = pages.block("docs/other-machines.md", "# kubectl apply -f this;")
    assert "192.0.2.10" in manifest
    return manifest.replace("192.0.2.10", address)


@contextmanager
def serving(cluster: Cluster, address: str) -> Iterator[None]:
    """Apply the page's ConfigMap, and run CoreDNS over it on the control host while the block runs."""
    control = cluster.control
    control.give(COREDNS)
    cluster.kubectl("apply", "-f", "-", stdin=page_s_config_map(address))
    ((name, block),) = cluster.get(*CONFIG_MAP)["data"].items()
    control.write(f"{FOLDER}/Corefile", COREFILE)
    control.write(f"{FOLDER}/NodeHosts", f"{address} control\n")
    run = f"coredns -conf {FOLDER}/Corefile"
    # What the page says of the other kind of key.
    (hosts,) = re.findall(r"hosts \{.*?\}", block, re.DOTALL)
    control.write(f"{FOLDER}/custom/homelab-registry.override", hosts)
    refused = control.run(f"timeout 10 {run}", check=False)
    assert "this plugin can only be used once per Server Block" in refused.stderr + refused.stdout
    control.run(f"rm {FOLDER}/custom/*")
    control.write(f"{FOLDER}/custom/{name}", block)
    control.run(f"systemd-run -q --unit=coredns {run}")
    try:
        control.wait_until("ss -lun | grep -q ':53 '", 30, "CoreDNS")
        yield
    finally:
        control.run("systemctl stop coredns")
        cluster.kubectl("delete", *CONFIG_MAP)
