"""Certificates and passwords change while clients of every kind work, and none of them notices.

Pods have images of Docker Hub by the caches meanwhile, and start without the internet.
With images built from Debian's packages; with `--soak` also with pulled ones, whose registry is newer by a major version.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.bench import registry_images
from tests.bench.cluster import Cluster
from tests.bench.cluster_node import load_waiting_image
from tests.bench.programs import WAITS
from tests.caches.client import Cache
from tests.caches.hub import Hub
from tests.cluster.load import CONFIG, USER, Load, Target, apply_pod, load, refusals, run_pod
from tests.fleet.deployment import Deployment
from tests.fleet.source import PULLED, start_source
from tests.gateway.gateway import NAME

IMAGE = f"{NAME}/load/app:1"
CERTIFICATE, PASSWORDS = "deploys/rotate_certificate.py", "deploys/rotate_credentials.py"
NEW_CA, RETIRE_CA = "deploys/rotate_ca.py", "deploys/retire_ca.py"
MOST_REQUESTS = 10_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "images" in metafunc.fixturenames:
        kinds = ("build", "pull") if metafunc.config.getoption("--soak") else ("build",)
        metafunc.parametrize("images", kinds, scope="module")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace("load") as name:
        yield name


@pytest.fixture(scope="module")
def hub(cluster: Cluster) -> Iterator[Hub]:
    """A fake of Docker Hub on a node, which the registry host takes for it, and no node.

    It is the registry host's name server too, so what is installed there comes first.
    """
    host, resolver = cluster.control, "/etc/resolv.conf"
    host.run(
        "command -v skopeo curl >/dev/null || { apt-get update -q && apt-get install -q -y skopeo curl; }",
        timeout=300,
    )
    registry_images.load(host, caches=True)
    node, before = cluster.nodes["node16"], host.read(resolver)
    node.give(WAITS)
    made = Hub.start(node)
    made.serve(host)
    yield made
    host.write(resolver, before)


@pytest.fixture(scope="module")
def target(
    cluster: Cluster, deployment: Deployment, namespace: str, images: str, hub: Hub
) -> Iterator[Target]:
    """A user who pushes and pulls, a namespace that pulls, and an image in a registry from such `images`."""
    host, state = cluster.control, str(deployment.store.folder)
    if images == "pull":
        start_source(host)
    host.run(f"useradd -m -G docker {USER}")
    deployment.set(
        registry_state_dir=state, registry_login_users=[USER], registry_login_account="ci",
        registry_pull_secret_namespaces=["default", namespace], registry_caches=["docker.io"],
        **(PULLED if images == "pull" else {}),
    )  # fmt: skip
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    load_waiting_image(host, IMAGE)
    host.run(f"su - {USER} -c 'docker push -q {IMAGE}'")
    manifest = host.run(f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {IMAGE}").stdout.strip()
    shown = host.run(f"su - {USER} -c 'skopeo inspect --raw --authfile {CONFIG} docker://{IMAGE}'").stdout
    blob = re.findall("sha256:[0-9a-f]{64}", shown)[-1]
    yield Target(host, deployment.store.ca_bundle_path, IMAGE, "load/app", manifest.partition("@")[2], blob)
    deployment.set(registry_state_dir=state)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    host.run(f"userdel -r {USER}")
    if images == "pull":
        host.run("docker rm -f source")


def rotate(deployment: Deployment, what: str) -> None:
    ran = deployment.run(deploy=what)
    assert ran.exit_code == 0, ran.output


def serial(deployment: Deployment) -> str:
    """Return the serial number of the leaf in the state, as openssl reads it."""
    command = ["openssl", "x509", "-noout", "-serial", "-in", str(deployment.store.folder / "leaf.pem")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def unharmed(cluster: Cluster, namespace: str, made: Load) -> None:
    """Nothing failed, and every kind of client did something."""
    print(f"{dict(made.done)}")
    assert made.failed == []
    assert refusals(cluster, namespace) == []
    assert {"http", "docker", "skopeo", "slow push", *(f"pod {name}" for name in cluster.nodes)} <= set(
        made.done
    )


def test_nobody_notices_new_certificates(
    cluster: Cluster, deployment: Deployment, target: Target, namespace: str, soak: bool
) -> None:
    serials = [serial(deployment)]
    with load(cluster, target, namespace) as made:
        for _ in range(20 if soak else 2):
            rotate(deployment, CERTIFICATE)
            serials.append(serial(deployment))
        made.until("http", MOST_REQUESTS if soak else 500)
    unharmed(cluster, namespace, made)
    assert len(set(serials)) == len(serials)


def test_nobody_notices_new_passwords(
    cluster: Cluster, deployment: Deployment, target: Target, namespace: str, soak: bool
) -> None:
    with load(cluster, target, namespace) as made:
        for _ in range(5 if soak else 1):
            before = deployment.store.read().passwords
            rotate(deployment, PASSWORDS)
            after = deployment.store.read()
            assert {name for name in before if before[name] != after.passwords[name]} == set(before)
            assert after.former == {}
        made.until("http", MOST_REQUESTS if soak else 500)
    unharmed(cluster, namespace, made)


def test_pods_start_without_the_registry_after_new_passwords(
    cluster: Cluster, deployment: Deployment, target: Target, namespace: str
) -> None:
    """The kubelet accepts the secret that it pulled with before, by its uid: it was updated, not recreated.

    The last pod, without a secret, shows that it asks for one at all.
    """
    nodes = [host.name for host in cluster.nodes.values()]
    containers = "homelab-registry-gateway homelab-registry"
    for node in nodes:
        run_pod(cluster, target.image, namespace, node)
    rotate(deployment, PASSWORDS)
    cluster.control.run(f"docker stop {containers}")
    try:
        for node in nodes:
            run_pod(cluster, target.image, namespace, node, "IfNotPresent")
        with cluster.namespace("stranger-to-it") as other:
            pod = apply_pod(cluster, target.image, other, nodes[0], "IfNotPresent")
            refused = "--for=jsonpath={.status.containerStatuses[0].state.waiting.message}"
            cluster.kubectl("wait", "-n", other, refused, "--timeout=90s", f"pod/{pod}")
    finally:
        cluster.control.run(f"docker start {containers}")
    assert deployment.run().steps == []


def test_pods_start_without_the_internet(
    cluster: Cluster, deployment: Deployment, target: Target, namespace: str, hub: Hub
) -> None:
    """What the caches have of Docker Hub runs on each node, which cannot reach that itself."""
    image = hub.add("docker.io/library/waits:1", program=f"/usr/local/bin/{WAITS.name}")
    caches = Cache(target.host.address, 443, "mirror.homelab.local", deployment.store.ca_bundle_path)
    assert caches.pull(image).digest == image.digest
    with hub.behaving(down=True, names_down=True):
        for node in cluster.nodes.values():
            run_pod(cluster, "waits:1", namespace, node.name)


def test_nobody_notices_a_new_authority(
    cluster: Cluster, deployment: Deployment, target: Target, namespace: str, soak: bool
) -> None:
    """At each stage, and from one to the next."""
    requests = MOST_REQUESTS if soak else 500
    before = deployment.store.read().authority
    with load(cluster, target, namespace) as made:
        rotate(deployment, NEW_CA)
        during = deployment.store.read().successor
        made.until("http", requests // 2)
        rotate(deployment, RETIRE_CA)
        after = deployment.store.read()
        made.until("http", requests)
    unharmed(cluster, namespace, made)
    assert before and during and during.issuing_since and after.authority  # noqa: PT018 - so that the types are known
    assert after.successor is None
    assert after.authority.fingerprint == during.ca.fingerprint != before.fingerprint
