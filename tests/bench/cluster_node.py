"""A node of the bench's cluster: a kubelet that uses its host's containerd."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from typing import Any

from tests.bench.cluster_authority import ClusterAuthority
from tests.bench.hosts import BenchHost
from tests.bench.programs import WAITS, program
from tests.bench.recipes import PAUSE
from tests.verify.programs import ARCHITECTURES

FOLDER = "/etc/kubernetes"

# A kubelet needs what a container does not have by default: the kernel's log (device 1:11), shared mount propagation,
# and a folder that is not on overlayfs.
UNIT = f"""\
[Unit]
Description=kubelet
After=containerd.service

[Service]
ExecStartPre=sh -c 'test -e /dev/kmsg || mknod -m 0600 /dev/kmsg c 1 11'
ExecStartPre=mount --make-rshared /
ExecStartPre=mkdir -p /var/lib/kubelet /var/lib/containerd/kubelet
ExecStartPre=sh -c 'mountpoint -q /var/lib/kubelet || mount --bind /var/lib/containerd/kubelet /var/lib/kubelet'
ExecStart=/usr/local/bin/kubelet --config={FOLDER}/kubelet.yaml --kubeconfig={FOLDER}/kubelet.conf
Type=notify
Restart=always
RestartSec=1
"""

# The kubelet's kernel settings (setupKernelTunables) would apply to the whole machine, which would then stop at the
# next kernel oops. These files show the values that the kubelet expects, so that it writes none.
TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def start(host: BenchHost, number: int, authority: ClusterAuthority, server: str) -> None:
    """Start the kubelet on a booted host; it registers with the API server at `server` under its host name.

    `number`, 0 to 255, must differ between nodes: it selects the subnet of the node's pods.
    """
    shown = authority.server([host.name, host.address])
    files = {
        "ca.crt": authority.certificate,
        "kubelet.crt": shown.certificate,
        "kubelet.key": shown.key,
        "kubelet.conf": authority.kubeconfig(server, f"system:node:{host.name}", ["system:nodes"]),
        "kubelet.yaml": json.dumps(_config(host), indent=2),
    }
    for name, text in files.items():
        host.write(f"{FOLDER}/{name}", text, "0600")
    host.write("/etc/cni/net.d/10-bench.conflist", json.dumps(_network(number), indent=2))
    host.write("/etc/systemd/system/kubelet.service", UNIT)
    import_waiting_image(host, PAUSE)
    for path, value in TUNABLES.items():
        file = f"/run/tunables/{path.replace('/', '.')}"
        host.write(file, f"{value}\n")
        host.run(f"mount --bind {file} /proc/sys/{path}")
    host.run("systemctl daemon-reload && systemctl start kubelet")


def import_waiting_image(host: BenchHost, reference: str) -> None:
    """Import an image into containerd that is in no registry and whose program waits."""
    _run_with_input(host, "ctr -n k8s.io images import -", waiting_image(reference))


def load_waiting_image(host: BenchHost, reference: str) -> None:
    """Load the same image into Docker Engine."""
    _run_with_input(host, "docker load", waiting_image(reference))


def waiting_image(reference: str) -> bytes:
    """Return an image whose program waits, as an archive in the format of `docker save`.

    Images of different names share neither layer nor digest, so that a pull of one always transfers all of it.
    """
    layer = _tar({WAITS.name: program(WAITS).read_bytes(), "reference": reference.encode()})
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": [f"/{WAITS.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        }
    )


def _run_with_input(host: BenchHost, command: str, archive: bytes) -> None:
    done = subprocess.run(
        ["docker", "exec", "-i", host.name, "sh", "-c", command],
        input=archive, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{host.name}: {command}: {done.stderr.decode(errors='replace')}"


def _tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _config(host: BenchHost) -> dict[str, Any]:
    """Return the kubelet's configuration, with limits that suit a small machine."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{FOLDER}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{FOLDER}/kubelet.crt",
        "tlsPrivateKeyFile": f"{FOLDER}/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": _cgroup(host),
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _cgroup(host: BenchHost) -> str:
    """Return the path of the host's own cgroup.

    With cgroup v1 all hosts share one tree: at its root, two kubelets would remove each other's pods as orphans.
    """
    lines = [line.split(":", 2) for line in host.read("/proc/1/cgroup").splitlines()]
    part = next((path for _, controllers, path in lines if controllers == "memory"), "/")
    return part.removesuffix("/init.scope") or "/"


def _network(number: int) -> dict[str, Any]:
    """Return the configuration of the pods' network for Debian's CNI plugins."""
    subnet = f"10.244.{number}.0/24"
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "subnet": subnet, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return {"cniVersion": "0.4.0", "name": "bench", "plugins": [bridge]}
