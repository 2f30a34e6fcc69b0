"""The kit's files for local clusters, given to a node as kind and k3d give them."""

from __future__ import annotations

import tomllib

import yaml

from tasks.cluster_nodes.runtimes.containerd import CONFIG
from tasks.run.context import ROOT
from tasks.workstation import kit
from tasks.workstation.kit import Kit
from tests.bench.hosts import BenchHost

K3D_CA = "/etc/homelab-registry/ca.crt"


def files_for(endpoint: str, certificate: str) -> dict[str, str]:
    """Return the kit of a registry that answers there, with this certificate as its CA."""
    return kit.texts(Kit(endpoint, [endpoint], [], "192.0.2.10", "ci", certificate), str(ROOT / "templates"))


def configure_as_kind(host: BenchHost, files: dict[str, str]) -> None:
    """Give containerd the patches, which kind merges (kind, pkg/cluster/internal/patch/toml.go).

    Where nothing has these tables yet, appending them is the same.
    """
    patches = yaml.safe_load(files["kind.yaml"])["containerdConfigPatches"]
    text = "\n".join([host.run(f"cat {CONFIG}", check=False).stdout or "version = 3\n", *patches])
    tomllib.loads(text)
    host.write(CONFIG, f"{text}\n")
    host.run("systemctl restart containerd")


def mount_as_kind(host: BenchHost, files: dict[str, str]) -> None:
    """Put the mounted folder where kind mounts it."""
    (mount,) = yaml.safe_load(files["kind.yaml"])["nodes"][0]["extraMounts"]
    for path, text in files.items():
        if path.startswith(f"{mount['hostPath']}/"):
            host.write(path.replace(mount["hostPath"], mount["containerPath"], 1), text)


def registries_of_k3d(files: dict[str, str], endpoint: str, auth: dict[str, str]) -> str:
    """Return the file that k3d hands to K3s, with a login."""
    found = yaml.safe_load(files["k3d-registries.yaml"])
    found["configs"][endpoint]["auth"] = auth
    return str(yaml.safe_dump(found))
