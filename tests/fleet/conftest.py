"""Hosts and deployments that tests share. If a test changes a shared host, the next run restores it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import registry_images
from tests.bench.hosts import BenchHost, remove_leftovers
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.deployment import Deployment


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()


@pytest.fixture(scope="module")
def host() -> Iterator[BenchHost]:
    """A host with Docker Engine and the registry's images, for the tests of one module."""
    host = BenchHost.start(BOOKWORM_DOCKER)
    registry_images.load(host)
    yield host
    host.remove()


@pytest.fixture(scope="module")
def deployment(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry on that host, deployed once."""
    deployment = deployment_on(host, tmp_path_factory.mktemp("deployment"))
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return deployment


def deployment_on(host: BenchHost, folder: Path, **settings: object) -> Deployment:
    """Return a deployment on one host, reached through pyinfra's Docker connector; it has not run yet."""
    target = f"@docker/{host.name}"
    return Deployment(folder, f"registry = [{target!r}]\ndocker_hosts = [{target!r}]\n", **settings)
