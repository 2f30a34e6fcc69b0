"""A real Kubernetes on hosts of the bench: the control plane on one, a kubelet on each of the others."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.bench import cluster_node
from tests.bench.cluster_authority import ClusterAuthority, pem
from tests.bench.cluster_node import FOLDER
from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost, Result
from tests.bench.programs import KUBE, program
from tests.bench.recipes import KUBE_CONTROL, Recipe

ADMIN = f"{FOLDER}/admin.conf"
CONTROL = "control"
"""The name of the control plane's host in the inventory."""

BIN = "/usr/local/bin"
CONTROL_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBECTL = "/opt/kube/kubectl"
"""Outside every search path; a symbolic link in `BIN` leads there, which a test may remove."""

SERVICES = "10.96.0.0/16"
NAMES = ("localhost", "127.0.0.1", "10.96.0.1", "kubernetes.default.svc")
"""The API server's names besides its host's name and address; 10.96.0.1 is the first address of `SERVICES`."""

# On SIGTERM it would wait a minute for open watches, so systemd kills it.
API_SERVER = f"""\
[Unit]
Description=kube-apiserver
After=etcd.service

[Service]
ExecStart={BIN}/kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address={{address}} \\
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \\
  --client-ca-file={FOLDER}/ca.crt \\
  --tls-cert-file={FOLDER}/server.crt --tls-private-key-file={FOLDER}/server.key \\
  --kubelet-certificate-authority={FOLDER}/ca.crt \\
  --kubelet-client-certificate={FOLDER}/kubelet-client.crt --kubelet-client-key={FOLDER}/kubelet-client.key \\
  --service-account-issuer=https://kubernetes.default.svc \\
  --service-account-key-file={FOLDER}/accounts.key --service-account-signing-key-file={FOLDER}/accounts.key \\
  --service-cluster-ip-range={SERVICES}
Type=notify
KillSignal=SIGKILL
SuccessExitStatus=SIGKILL
Restart=always
RestartSec=1
"""
CONTROLLER_MANAGER = f"""\
[Unit]
Description=kube-controller-manager
After=kube-apiserver.service

[Service]
ExecStart={BIN}/kube-controller-manager --kubeconfig={FOLDER}/controller-manager.conf --leader-elect=false \\
  --bind-address=127.0.0.1 --use-service-account-credentials \\
  --root-ca-file={FOLDER}/ca.crt --service-account-private-key-file={FOLDER}/accounts.key
Restart=always
RestartSec=1
"""
SCHEDULER = f"""\
[Unit]
Description=kube-scheduler
After=kube-apiserver.service

[Service]
ExecStart={BIN}/kube-scheduler --kubeconfig={FOLDER}/scheduler.conf --leader-elect=false --bind-address=127.0.0.1
Restart=always
RestartSec=1
"""


def pod_on(node: str, name: str, namespace: str, image: str, policy: str = "Always") -> dict[str, Any]:
    """Return a pod that is bound to a node without the scheduler and names no pull secret; `policy` is its pull policy."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "app", "image": image, "imagePullPolicy": policy}],
        },
    }


@dataclass(frozen=True)
class Cluster:
    """A running cluster on the hosts of `fleet`. Created by `start`, removed by `remove`."""

    fleet: Fleet
    control: BenchHost
    nodes: dict[str, BenchHost]
    """The nodes by their names in the inventory; in the cluster a node has its host name, `BenchHost.name`."""
    authority: ClusterAuthority

    @classmethod
    def start(
        cls, nodes: Mapping[str, Recipe], folder: Path, others: Mapping[str, Recipe] | None = None
    ) -> Cluster:
        """Boot `CONTROL`, the nodes and `others`, which do not join the cluster; return when each node is ready.

        Without nodes, only the control plane is started. The SSH keys to the hosts are in `folder`.
        """
        kube = str(program(KUBE))
        programs = {name: {f"{BIN}/kubelet": kube} for name in nodes}
        programs[CONTROL] = dict.fromkeys((KUBECTL, *(f"{BIN}/{name}" for name in CONTROL_PROGRAMS)), kube)
        fleet = Fleet.start({CONTROL: KUBE_CONTROL, **nodes, **(others or {})}, folder, volumes=programs)
        cluster = cls(
            fleet, fleet.hosts[CONTROL], {name: fleet.hosts[name] for name in nodes}, ClusterAuthority()
        )
        try:
            cluster._start_control_plane()
            for number, host in enumerate(cluster.nodes.values()):
                cluster_node.start(host, number, cluster.authority, cluster.server)
            cluster._wait_for_nodes()
        except BaseException:
            fleet.remove()
            raise
        return cluster

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.control.address}:6443"

    def kubectl(
        self,
        *arguments: str,
        stdin: str = "",
        kubeconfig: str = ADMIN,
        check: bool = True,
        timeout: float = 120,
    ) -> Result:
        """Run kubectl on the control plane's host, as the administrator if no other kubeconfig there is given."""
        command = shlex.join([KUBECTL, f"--kubeconfig={kubeconfig}", *arguments])
        return self.control.run(command, stdin=stdin, check=check, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        """Return the parsed JSON output of `kubectl get`."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects with `kubectl apply`."""
        self.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Create a namespace, wait until it can have pods, and delete it after the block."""
        self.kubectl("create", "namespace", name)
        self.kubectl("wait", "-n", name, "--for=create", "--timeout=30s", "serviceaccount/default")
        yield name
        self.kubectl("delete", "namespace", name, "--wait=false")

    def login(self, user: str, *groups: str) -> str:
        """Write a kubeconfig for a user, who has no rights but those from RBAC; return its path on the control plane's host."""
        path = f"{FOLDER}/users/{user}.conf"
        self.control.write(path, self.authority.kubeconfig(self.server, user, groups), "0600")
        return path

    def stop_api_server(self) -> None:
        """Stop the API server, so that its port refuses connections."""
        self.control.run("systemctl stop kube-apiserver")

    def start_api_server(self) -> None:
        """Start the API server, and return when it is ready."""
        self.control.run("systemctl start kube-apiserver")
        self.control.wait_until(f"{KUBECTL} --kubeconfig={ADMIN} get --raw /readyz", 60, "the API server")

    def remove(self) -> None:
        """Remove all hosts of the fleet."""
        self.fleet.remove()

    def _start_control_plane(self) -> None:
        host, authority = self.control, self.authority
        shown = authority.server([host.name, host.address, *NAMES])
        to_kubelets = authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        files = {
            "ca.crt": authority.certificate,
            "server.crt": shown.certificate,
            "server.key": shown.key,
            "kubelet-client.crt": to_kubelets.certificate,
            "kubelet-client.key": to_kubelets.key,
            "accounts.key": pem(ec.generate_private_key(ec.SECP256R1())),
            "admin.conf": authority.kubeconfig(self.server, "kubernetes-admin", ["system:masters"]),
            "controller-manager.conf": authority.kubeconfig(self.server, "system:kube-controller-manager"),
            "scheduler.conf": authority.kubeconfig(self.server, "system:kube-scheduler"),
        }
        for name, text in files.items():
            host.write(f"{FOLDER}/{name}", text, "0600")
        units = {
            "kube-apiserver": API_SERVER.format(address=host.address),
            "kube-controller-manager": CONTROLLER_MANAGER,
            "kube-scheduler": SCHEDULER,
        }
        for name, text in units.items():
            host.write(f"/etc/systemd/system/{name}.service", text)
        host.run(f"ln -s {KUBECTL} {BIN}/kubectl && systemctl daemon-reload")
        self.start_api_server()
        host.run("systemctl start kube-controller-manager kube-scheduler")

    def _wait_for_nodes(self) -> None:
        # Each on its own: of two objects that are both not there yet, `kubectl wait --for=create` does not wait for any.
        for host in self.nodes.values():
            for condition in ("create", "condition=Ready"):
                waited = self.kubectl(
                    "wait", f"--for={condition}", "--timeout=90s", f"node/{host.name}", check=False
                )
                assert waited.exit_code == 0, "\n".join([waited.stdout + waited.stderr, *self._journals()])

    def _journals(self) -> Iterator[str]:
        """Yield the last that each part of the cluster said, for a failure that cannot be looked into afterwards."""
        units = {self.control: ("etcd", "kube-apiserver")}
        units |= dict.fromkeys(self.nodes.values(), ("containerd", "kubelet"))
        for host, names in units.items():
            for name in names:
                said = host.run(f"systemctl status --no-pager -l -n 40 {name} 2>&1", check=False)
                yield f"{host.name}: {said.stdout}"
