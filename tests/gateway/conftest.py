"""A deployed registry for the tests of a module, once with each version of distribution."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.accounts.former_passwords import QUIET
from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER, TRIXIE_NODE
from tests.fleet.conftest import deployment_on
from tests.fleet.source import PULLED, start_source
from tests.gateway.gateway import Gateway

VERSIONS = ("2.8", "3.1")
DEBIAN_13 = "2.8 on Debian 13"
"""Has nginx 1.26; the others have that of Debian 12, 1.22."""


@pytest.fixture(scope="module", params=VERSIONS)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A registry that was deployed on a host of its own, from Debian's 2.8 or with distribution 3.1.2."""
    host = BenchHost.start(TRIXIE_NODE if request.param == DEBIAN_13 else BOOKWORM_DOCKER)
    try:
        if request.param == DEBIAN_13:
            host.run("mount -o remount,rw /proc/sys")  # Docker 28 sets each container's IPv6 there
        registry_images.load(host)
        made = Gateway(host, deployment_on(host, tmp_path_factory.mktemp("gateway")), request.param[:3])
        made.deployment.quiet = QUIET
        if request.param == "3.1":
            start_source(host)
            made.source = PULLED
        made.deploy()
        yield made
    finally:
        host.remove()
