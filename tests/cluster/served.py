"""A control plane without nodes that a deployment serves: 200 namespaces, and each call of kubectl is recorded.

A script in place of kubectl on the control plane's host records the arguments and environment of each call, and can run
another program between reading and applying.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from tasks.cluster_control.pull_secrets import document
from tests.bench import registry_images
from tests.bench.cluster import BIN, CONTROL, KUBECTL, Cluster
from tests.fleet.deployment import Deployment, RunResult

NAME = "registry-credentials"
OURS = "app.kubernetes.io/managed-by=homelab-registry"
TEAMS = [f"team-{number:03}" for number in range(200)]
OWN = "/root/.kube/config"
RECORDER = "/opt/kube/noting"
RECORDS = "/root/noted"
OTHERS = "/root/others"
SCRIPT = f"""#!/bin/sh
umask 077
{{ printf '%s\\n' "$@"; cat "/proc/$$/environ"; }} > "{RECORDS}/$$"
echo "$*" | grep -o ' get \\| apply \\| delete ' >> {RECORDS}/calls
case " $* " in (*" apply "*) [ ! -x {OTHERS} ] || {OTHERS} </dev/null >/dev/null 2>&1 ;; esac
exec {KUBECTL} "$@"
"""
ALL: dict[str, object] = {"registry_pull_secret_namespaces": ["*"]}


class Served:
    """A deployment on a cluster without nodes."""

    def __init__(self, cluster: Cluster, deployment: Deployment) -> None:
        self.cluster, self.deployment = cluster, deployment
        self.outputs: list[str] = []
        self.settled = False
        """Whether all namespaces had all of our objects after the last run."""

    def run(self, *arguments: str, **settings: object) -> RunResult:
        """Run with these settings; `calls` then has kubectl's calls."""
        self.cluster.control.run(f"mkdir -p {RECORDS} && rm -f {RECORDS}/calls")
        self.deployment.set(registry_state_dir=f"{self.deployment.folder}/state", **settings)
        ran = self.deployment.run(*(arguments or ("-y",)))
        self.outputs.append(ran.output)
        self.settled = settings == ALL and "--dry" not in arguments and ran.exit_code == 0
        return ran

    def settle(self) -> None:
        """Give all namespaces all of our objects, by a run."""
        ran = self.run(**ALL)
        assert ran.exit_code == 0, ran.output

    @classmethod
    def start(cls, folder: Path) -> Served:
        """Boot the host, create the namespaces, and deploy the registry alone."""
        (keys := folder / "keys").mkdir()
        cluster = Cluster.start({}, keys)
        try:
            return cls._on(cluster, folder)
        except BaseException:
            cluster.remove()
            raise

    @classmethod
    def _on(cls, cluster: Cluster, folder: Path) -> Served:
        control = cluster.control
        control.write(RECORDER, SCRIPT, "0755")
        control.run(f"ln -sf {RECORDER} {BIN}/kubectl && mkdir -m 0700 {RECORDS}")
        control.write(OWN, cluster.authority.kubeconfig(cluster.server, "me", ["system:masters"]))
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in TEAMS]
        cluster.kubectl("create", "-f", "-", stdin=document(namespaces))
        control.wait_until(
            f"test $({KUBECTL} get serviceaccounts -A --field-selector=metadata.name=default -o name | wc -l) -ge {len(TEAMS) + 4}",
            60,
            "service accounts",
        )
        registry_images.load(control, metrics=True)
        groups = {"registry": [CONTROL], "cluster_control": [CONTROL]}
        made = cls(cluster, Deployment(folder, cluster.fleet.inventory(groups)))
        ran = made.run(registry_pull_secret_namespaces=[])
        assert ran.exit_code == 0, ran.output
        return made

    @property
    def calls(self) -> list[str]:
        """The verbs of kubectl's calls in the last run."""
        return self.cluster.control.run(f"cat {RECORDS}/calls").stdout.split()

    def secrets(self, name: str = NAME) -> dict[str, Any]:
        """Return the secrets of that name, by namespace."""
        found = self.cluster.get("secrets", "-A", f"--field-selector=metadata.name={name}")["items"]
        return {each["metadata"]["namespace"]: each for each in found}

    def entries(self, namespace: str, account: str = "default") -> list[str]:
        """Return the entries of a service account."""
        found = self.cluster.get("serviceaccount", account, "-n", namespace)
        return [each.get("name", "") for each in found.get("imagePullSecrets", ())]

    def login(self, namespace: str) -> str:
        """Return the login in a namespace's secret, as `account:password`."""
        data = b64decode(self.secrets()[namespace]["data"][".dockerconfigjson"])
        return b64decode(json.loads(data)["auths"]["registry.homelab.local"]["auth"]).decode()
