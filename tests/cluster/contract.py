"""The Kubernetes examples of registry-api-contract.md: its pod, its image, its pull secret."""

from __future__ import annotations

from tests.bench.cluster import Cluster
from tests.bench.cluster_node import load_waiting_image
from tests.fleet.deployment import Deployment

NAME = "registry.homelab.local"
IMAGE = f"{NAME}/myapp:v1.0.0"
SECRET = "registry-credentials"
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: myapp
spec:
  containers:
  - name: myapp
    image: registry.homelab.local/myapp:v1.0.0
  imagePullSecrets:
  - name: registry-credentials
"""
"""Word for word, from "Pod with Local Registry Image"."""


def password(deployment: Deployment, account: str) -> str:
    """Return an account's password."""
    return (deployment.folder / "state/accounts" / f"{account}.password").read_text().strip()


def push(cluster: Cluster, deployment: Deployment, image: str = IMAGE) -> None:
    """Push an image with the Docker Engine of the control plane's host, and leave no login there."""
    load_waiting_image(cluster.control, image)
    docker = "DOCKER_CONFIG=$(mktemp -d); export DOCKER_CONFIG; docker"
    cluster.control.run(
        f"{docker} login -u ci --password-stdin {NAME} && docker push {image} && rm -r $DOCKER_CONFIG",
        stdin=password(deployment, "ci"),
    )
