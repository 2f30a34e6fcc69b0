"""The pull-through caches on a registry host: who reads from them, under which names, and how they come and go.

How they behave towards the registries in the internet is in tests/caches.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.caches.client import Answer, Cache
from tests.caches.hub import Hub, Made
from tests.fleet.conftest import deployment_on
from tests.gateway.gateway import NAME, Gateway
from tests.gateway.metrics import check_metrics

MIRROR = "mirror.homelab.local"
SETTINGS: dict[str, object] = {
    "registry_caches": ["docker.io", "ghcr.io"],
    "registry_cache_networks": ["0.0.0.0/0", "::/0"],
}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """The fake of the registries in the internet, on a host of its own."""
    host = BenchHost.start(BOOKWORM_DOCKER)
    try:
        yield Hub.start(host)
    finally:
        host.remove()


@pytest.fixture(scope="module")
def gateway(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A registry with caches, for whoever comes from anywhere."""
    host = BenchHost.start(BOOKWORM_DOCKER)
    try:
        registry_images.load(host, caches=True, metrics=True)
        hub.serve(host)
        made = Gateway(host, deployment_on(host, tmp_path_factory.mktemp("cache")), "2.8")
        made.deploy(**SETTINGS)
        yield made
    finally:
        host.remove()


@pytest.fixture(scope="module")
def image(hub: Hub) -> Made:
    """An image of several pieces."""
    return hub.add("docker.io/library/x:1", 100_000, 20_000_000)


def mirror(gateway: Gateway) -> Cache:
    return Cache(gateway.address, 443, MIRROR, gateway.ca)


def named(gateway: Gateway, authorization: str = "") -> Cache:
    return Cache(gateway.address, 443, NAME, gateway.ca, prefix=True, authorization=authorization)


def message(answer: Answer) -> str:
    [error] = json.loads(answer.content)["errors"]
    return str(error["message"])


def test_who_has_no_login_pulls_through_the_mirror_and_the_second_time_from_disk(
    gateway: Gateway, hub: Hub, image: Made
) -> None:
    hub.reset()
    cache = mirror(gateway)
    assert cache.get("/v2/").content == b"{}"
    first = cache.pull(image)
    asked = hub.counters()
    assert first.digest == image.digest
    assert (asked.manifest_gets, asked.manifest_heads) == (2, 1)
    assert asked.cdn_bytes <= 1.02 * first.size
    assert cache.pull(image).digest == image.digest
    assert hub.counters() == asked


def test_only_a_login_pulls_under_the_registry_s_name(gateway: Gateway, image: Made) -> None:
    path = f"/v2/{image.name}/manifests/1"
    for role in ("pull", "push", "admin"):
        assert named(gateway, gateway.authorization(role)).pull(image).digest == image.digest
    assert named(gateway).get(path).status == 401
    wrong = named(gateway, "Basic " + b64encode(b"cluster:wrong").decode()).get(path)
    assert (wrong.status, message(wrong)) == (401, "authentication required")


@pytest.mark.parametrize(
    ("method", "rest"), [("POST", "blobs/uploads/"), ("PUT", "manifests/1"), ("DELETE", "manifests/1")]
)
def test_a_cache_takes_no_push_and_says_why(gateway: Gateway, image: Made, method: str, rest: str) -> None:
    refused = named(gateway, gateway.authorization("admin")).get(f"/v2/{image.name}/{rest}", method)
    assert refused.status == 405
    assert "it can be pulled from, not pushed to" in message(refused)
    assert mirror(gateway).get(f"/v2/{image.repository}/{rest}", method).status == 405
    assert named(gateway).get(f"/v2/{image.name}/{rest}", method).status == 401


def test_a_name_of_ours_is_asked_of_no_upstream(gateway: Gateway, hub: Hub) -> None:
    hub.reset()
    for path in (f"/v2/apps/web/manifests/1?ns={NAME}", f"/v2/apps/web/manifests/1?ns={MIRROR}"):
        answer = mirror(gateway).get(path)
        assert answer.status == 404
        assert "there is no cache of" in message(answer)
    assert hub.asked_for() == []


def test_who_hides_behind_the_gateway_s_own_bridge_reads_nothing(gateway: Gateway) -> None:
    """As clients of IPv6 do, and those on the host itself: Docker's proxy makes their connections (127.0.0.1)."""
    said = gateway.host.run(
        f"printf 'GET /v2/ HTTP/1.1\\r\\nHost: {MIRROR}\\r\\nConnection: close\\r\\n\\r\\n' | "
        f"openssl s_client -quiet -ign_eof -connect 127.0.0.1:443 -servername {MIRROR} 2>/dev/null"
    ).stdout
    assert said.startswith("HTTP/1.1 403 ")
    assert "is not in registry_cache_networks" in said


def test_a_killed_cache_is_recreated_and_has_all_that_it_had(gateway: Gateway, hub: Hub, image: Made) -> None:
    gateway.host.run("docker rm -f homelab-registry-cache")
    assert "the caches behind the gateway do not answer" in message(mirror(gateway).get("/v2/"))
    gateway.deploy(**SETTINGS)
    with hub.behaving(down=True):
        assert mirror(gateway).pull(image, image.digest).digest == image.digest
        assert mirror(gateway).pull(image).digest == image.digest


def test_clients_outside_the_networks_are_refused(gateway: Gateway) -> None:
    gateway.deploy(**{**SETTINGS, "registry_cache_networks": ["203.0.113.0/24"]})
    refused = mirror(gateway).get("/v2/library/x/manifests/1?ns=docker.io")
    assert (refused.status, "is not in registry_cache_networks" in message(refused)) == (403, True)


def test_prometheus_reads_what_registry_and_caches_do(
    gateway: Gateway, image: Made, tmp_path: Path, soak: bool
) -> None:
    def pull() -> None:
        assert mirror(gateway).pull(image).digest == image.digest

    check_metrics(gateway, SETTINGS, pull, tmp_path, rotate=soak)


def test_caches_and_metrics_that_are_switched_off_leave_nothing(gateway: Gateway) -> None:
    gateway.deploy(registry_caches=[])
    left = gateway.host.run(
        "docker ps -a --format '{{.Names}}'; docker network ls --format '{{.Name}}'; docker volume ls -q; "
        "ls -d /etc/homelab-registry/metrics /etc/homelab-registry/cache /etc/homelab-registry/run/cache /var/lib/homelab-registry-cache",
        check=False,
    ).stdout
    assert "cache" not in left
    assert "metrics" not in left
    assert not (gateway.deployment.store.folder / "monitoring").exists()
    assert gateway.request("GET", "/v2/", gateway.authorization("pull")).status == 200
    again = gateway.deployment.run()
    assert "Nothing to do" in again.output


def test_images_under_a_name_of_the_caches_stop_the_run(gateway: Gateway) -> None:
    gateway.crane("push", f"append --oci-empty-base -f /etc/hostname -t {NAME}/docker.io/mine/app:1")
    gateway.deployment.set(registry_state_dir=str(gateway.deployment.store.folder), **SETTINGS)
    ran = gateway.deployment.run()
    assert ran.exit_code
    assert "the registry has images under names that are the caches' now: docker.io/mine/app" in ran.output
    assert "homelab-registry-cache" not in gateway.host.run("docker ps -a").stdout
