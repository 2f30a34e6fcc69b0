"""Images that are pulled instead of built: from a registry on the host, resolved to a digest once, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tasks.registry.cache import NAME as CONTAINER
from tasks.settings.caches import HUB
from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.source import GATEWAY, PULLED, REGISTRY, SOURCE, push, start_source

OURS = ("homelab-registry", "homelab-registry-gateway")


@pytest.fixture(scope="module")
def source(host: BenchHost, deployment: Deployment) -> Iterator[BenchHost]:
    """The host, with the source beside the registry that was built from Debian's packages."""
    start_source(host)
    deployment.set(registry_state_dir=str(deployment.store.folder), **PULLED)
    yield host
    host.run("docker rm -f source")


def digest(host: BenchHost, reference: str) -> str:
    """Return a tag's digest as the source reports it to a client that is not Docker."""
    repository, _, tag = reference.removeprefix(f"{SOURCE}/").rpartition(":")
    accept = "Accept: application/vnd.docker.distribution.manifest.v2+json"
    output = host.run(
        f"docker exec source wget -S -q -O /dev/null --header '{accept}' http://{SOURCE}/v2/{repository}/manifests/{tag} 2>&1"
    ).stdout
    (found,) = [line.split()[-1] for line in output.splitlines() if "docker-content-digest:" in line.lower()]
    return f"{reference.rpartition(':')[0]}@{found}"


def run(deployment: Deployment) -> list[str]:
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return ran.steps


def images(host: BenchHost) -> list[str]:
    return [host.run(f"docker inspect -f '{{{{.Config.Image}}}}' {name}").stdout.strip() for name in OURS]


def test_a_tag_is_resolved_once_and_kept(source: BenchHost, deployment: Deployment) -> None:
    digests = [digest(source, REGISTRY), digest(source, GATEWAY)]
    planned = deployment.plan()
    steps = run(deployment)
    assert steps == [
        f"pull the image {REGISTRY}: its digest is not known yet",
        f"pull the image {GATEWAY}: its digest is not known yet",
        *(f"recreate the container {name}: it was started in another way" for name in OURS),
    ]
    assert planned.steps == steps
    assert images(source) == digests
    record = json.loads((deployment.store.folder / "record.json").read_text())
    assert record["images"] == {REGISTRY: digests[0], GATEWAY: digests[1]}
    assert source.run(f"docker exec {OURS[0]} registry --version").stdout.split()[-1].startswith("v3.1.2")
    assert run(deployment) == []

    # The tag now names another image; the deployed one stays.
    source.run(
        f"docker create --name moved {digests[0]} x && docker cp /etc/hostname moved:/moved && docker commit moved {REGISTRY}"
        " && docker rm moved"
    )
    push(source, REGISTRY)
    assert digest(source, REGISTRY) != digests[0]
    assert run(deployment) == []
    assert images(source) == digests


def test_the_newer_registry_keeps_the_contract(source: BenchHost, deployment: Deployment) -> None:
    verified = deployment.verify()
    assert verified.returncode == 0, verified.stdout


def test_a_removed_image_is_pulled_by_its_digest(source: BenchHost, deployment: Deployment) -> None:
    kept = images(source)
    source.run(f"docker rm -f {OURS[0]} && docker rmi {kept[0]}")
    assert run(deployment) == [
        f"pull the image {kept[0]}: it is missing",
        f"create the container {OURS[0]}: it does not exist",
    ]
    assert images(source) == kept
    assert run(deployment) == []


def test_a_run_does_not_need_the_source_once_images_are_pulled(
    source: BenchHost, deployment: Deployment
) -> None:
    source.run("docker stop source")
    assert run(deployment) == []
    source.run(f"docker rm -f {OURS[1]}")
    assert run(deployment) == [f"create the container {OURS[1]}: it does not exist"]
    source.run("docker start source")


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        (
            f"{SOURCE}/library/registry:no-such-tag",
            "there is no such image, or not for everyone; correct registry_image",
        ),
        ("127.0.0.1:5001/library/registry:3", "that address cannot be reached from there; check"),
        ("registry.invalid/library/registry:3", "that address cannot be reached from there; check"),
    ],
)
def test_an_unavailable_image_is_reported_in_one_line(
    source: BenchHost, deployment: Deployment, image: str, remedy: str
) -> None:
    before = images(source)
    deployment.set(
        registry_state_dir=str(deployment.store.folder),
        registry_image_source="pull",
        registry_image=image,
        registry_gateway_image=GATEWAY,
    )
    ran = deployment.run()
    assert ran.exit_code == 1
    (problem,) = ran.problems
    assert f"could not pull the image {image}: " in problem
    assert remedy in problem
    assert images(source) == before


def test_the_caches_come_with_the_gateway_s_image(source: BenchHost, deployment: Deployment) -> None:
    """nginx's own image has njs. One without it is named, and what serves stays. Then all is as on a fresh host.

    At the end the host has its own images from its own caches: there is no other Docker Hub.
    """
    nginx, hub = f"{SOURCE}/library/nginx:njs", {"name": HUB, "registry": f"http://{source.address}:5000"}
    before = images(source)

    def of(registry: str, gateway: str) -> RunResult:
        named = {**PULLED, "registry_image": registry, "registry_gateway_image": gateway}
        deployment.set(registry_state_dir=str(deployment.store.folder), **named, registry_caches=[hub])
        return deployment.run()

    ran = of(REGISTRY, GATEWAY)
    (problem,) = ran.problems
    assert "ngx_http_js_module.so" in problem
    assert problem.endswith("the caches need nginx with njs: correct registry_gateway_image, and run again")
    assert images(source) == before

    registry_images.load(source, caches=True)
    source.run(f"docker tag {registry_images.cache_image()} {nginx}")
    push(source, nginx)
    source.run(f"docker rm -f {' '.join(OURS)} && docker rmi {' '.join(before)}")
    ran = of(REGISTRY, nginx)
    assert ran.exit_code == 0, ran.output
    assert [step for step in ran.steps if " the image " in step or " the container " in step] == [
        f"pull the image {before[0]}: it is missing",
        f"pull the image {nginx}: its digest is not known yet",
        *(f"create the container {name}: it does not exist" for name in (OURS[0], CONTAINER, OURS[1])),
    ]

    ran = of(f"{HUB}/library/registry:3", f"{HUB}/library/nginx:njs")
    assert ran.exit_code == 0, ran.output
    assert [each.partition("@")[0] for each in images(source)] == ["registry", "nginx"]
    assert source.run(f"docker inspect -f '{{{{.Config.Image}}}}' {CONTAINER}").stdout.startswith("nginx@")
    assert run(deployment) == []
