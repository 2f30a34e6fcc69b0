"""Pods that pull from the registry and wait, and what became of each."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.cluster_control import kubectl, pull_secrets
from tasks.settings.load import Settings
from tests.verify.backend import Host, last_line

LABEL = "homelab-verify"
SECONDS = 180
"""How long pods may take until they run, the pull of a small image included."""

PULL_FAILED = frozenset({"ErrImagePull", "ImagePullBackOff"})
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True)
class Outcome:
    """What became of a pod: `reason` is `Running`, or Kubernetes' reason why not, with its `message`."""

    namespace: str
    name: str
    node: str
    image: str
    reason: str
    message: str

    @property
    def summary(self) -> str:
        """The pod and why it does not run, in one line."""
        words = " ".join(self.message.split())
        return f"pod {self.name} in {self.namespace} on {self.node}: {self.reason} ({words[-240:]})"

    @property
    def login_refused(self) -> bool:
        """Whether the registry was reached and refused the login, or its absence."""
        said = self.message.lower()
        return any(sign in said for sign in ("401", "unauthorized", "no basic auth credentials"))

    @property
    def remedy(self) -> str:
        """What to do if an image from the registry is not pulled."""
        said = self.message.lower()
        if "x509" in said or "certificate" in said:
            return f"{self.node} does not trust the registry: list it in cluster_nodes and run make deploy"
        if self.login_refused or "403" in said:
            return (
                f"add {self.namespace} to registry_pull_secret_namespaces and its service account to "
                "registry_patch_service_accounts, run make deploy, and recreate the pod: an existing one gets no secret"
            )
        if "not found" in said or "manifest unknown" in said:
            return "the registry has no such image: push it, or correct the name"
        if "no such host" in said or "lookup" in said:
            return f"{self.node} cannot resolve the registry's name: list it in cluster_nodes and run make deploy"
        return "see kubectl describe pod, and run make deploy"


class Kubectl:
    """kubectl on a host, found and called as the deploy does."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.host = host
        self._command = kubectl.find_script(settings).replace("%", "%%") + "kubectl"

    def read(self, *arguments: str) -> Any:
        """Return the JSON that it prints; `AssertionError` with one line if it fails."""
        arguments = (*arguments, "-o", "json")
        done = self.host.run(self._line(*arguments), *arguments)
        assert done.rc == 0, (
            f"{self.host.name}: kubectl {arguments[0]} fails ({last_line(done)}); run make deploy"
        )
        return json.loads(done.stdout)

    def give(self, objects: Sequence[Any], *arguments: str) -> Any:
        """Call it with objects on its standard input, and return the result."""
        return self.host.run_with_input(pull_secrets.document(objects), self._line(*arguments), *arguments)

    def _line(self, *arguments: str) -> str:
        return self._command + " %s" * len(arguments)


class Pods:
    """Pods of one test, and namespaces made for it; `close` removes them."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._token = secrets.token_hex(4)
        self._made: list[dict[str, Any]] = []

    def namespace(self) -> str:
        """Create a namespace that no setting names, and return its name."""
        name = f"homelab-verify-{self._token}"
        self._make([{"apiVersion": "v1", "kind": "Namespace", "metadata": self._named(name)}])
        end = time.monotonic() + SECONDS
        while not self._kubectl.read("get", "serviceaccounts", "-n", name)["items"]:
            assert time.monotonic() < end, (
                f"{self._kubectl.host.name}: a new namespace gets no service account; check kube-controller-manager and run again"
            )
            time.sleep(0.2)
        return name

    def start(self, wanted: Iterable[tuple[str, str, str]], secret: str | None) -> None:
        """Start a pod for each (namespace, node, image); `secret` is the pull secret in its own specification."""
        self._make(
            [
                self._pod(number, namespace, node, image, secret)
                for number, (namespace, node, image) in enumerate(wanted)
            ]
        )

    def outcomes(self) -> list[Outcome]:
        """Wait until each pod runs or fails to; `AssertionError` with one line if somebody removed one."""
        made = [each["metadata"] for each in self._made if each["kind"] == "Pod"]
        end = time.monotonic() + SECONDS
        while True:
            found = outcomes(self._kubectl.read("get", "pods", "-A", "-l", f"{LABEL}={self._token}"))
            there = {(each.namespace, each.name) for each in found}
            # All of them existed when `create` returned.
            gone = [each for each in made if (each["namespace"], each["name"]) not in there]
            assert not gone, (
                f"{self._kubectl.host.name}: pod {gone[0]['name']} in {gone[0]['namespace']}"
                + (f" (and {len(gone) - 1} more of {len(made)})" if gone[1:] else "")
                + " was removed while the verification waited for it; find out what removes pods there, and run again"
            )
            waiting = [each for each in found if each.reason in STARTING]
            if not waiting or time.monotonic() > end:
                return found
            time.sleep(0.5)

    def close(self) -> None:
        """Remove all that was made; `AssertionError` with one line if something is left."""
        if self._made:
            removing = "delete --ignore-not-found --grace-period=0 --force --wait=false -f -"
            done = self._kubectl.give(self._made, *removing.split())
            assert done.rc == 0, (
                f"{self._kubectl.host.name}: the verification's pods and namespaces could not be removed ({last_line(done)}); "
                f"delete those with the label {LABEL}={self._token}"
            )

    def _make(self, objects: list[dict[str, Any]]) -> None:
        self._made += objects
        done = self._kubectl.give(objects, "create", "-f", "-")
        assert done.rc == 0, (
            f"{self._kubectl.host.name}: kubectl cannot create what the verification needs ({last_line(done)}); "
            "fix that and run again"
        )

    def _named(self, name: str, **more: str) -> dict[str, Any]:
        return {"name": name, "labels": {LABEL: self._token}, **more}

    def _pod(self, number: int, namespace: str, node: str, image: str, secret: str | None) -> dict[str, Any]:
        container = {
            "name": "wait",
            "image": image,
            "imagePullPolicy": "Always",
            # Required by the strictest namespaces (kubernetes.io, Pod Security Standards, "restricted").
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "runAsUser": 65534,
            },
            # With a quota, a pod without these is refused. Of the memory runc needs most, for a copy of itself: 16 MiB were
            # too little now and then, and 23 MB were seen elsewhere (runc#1980, runc#3986).
            "resources": {key: {"cpu": "10m", "memory": "64Mi"} for key in ("requests", "limits")},
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self._named(f"homelab-verify-{self._token}-{number}", namespace=namespace),
            "spec": {
                # No scheduler and no eviction: a cordoned or tainted node pulls all the same.
                "nodeName": node,
                "tolerations": [{"operator": "Exists"}],
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "restartPolicy": "Never",
                "imagePullSecrets": [{"name": secret}] if secret else [],
                "containers": [container],
            },
        }


def outcomes(listed: Any) -> list[Outcome]:
    """Return what became of pods, from kubectl's list of them."""
    return [
        Outcome(
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            pod["spec"].get("nodeName", "no node"),
            state.get("image") or pod["spec"]["containers"][0]["image"],
            *_reason(pod["status"], state),
        )
        for pod in listed["items"]
        for state in [_worst(pod["status"])]
    ]


def _worst(status: Any) -> dict[str, Any]:
    """Return the container that is furthest from running."""
    states = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    waiting = [state for state in states if "waiting" in state["state"]]
    return next(iter(waiting or states), {})


def _reason(status: Any, container: Any) -> tuple[str, str]:
    state = container.get("state", {})
    if "running" in state:
        return "Running", ""
    detail = state.get("waiting") or state.get("terminated") or status
    return detail.get("reason", ""), detail.get("message", "")
