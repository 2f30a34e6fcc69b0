"""The caches that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.hosts import remove_leftovers
from tests.bench.recipes import BOOKWORM_DOCKER, TRIXIE_NODE
from tests.caches.caches import Caches


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()


@pytest.fixture(
    scope="module",
    params=["nginx 1.22", pytest.param("nginx 1.26", marks=pytest.mark.soak)],
)
def caches(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caches]:
    """A registry host with caches, with the nginx of Debian 12; the long campaigns also with that of Debian 13."""
    recipe = BOOKWORM_DOCKER if request.param == "nginx 1.22" else TRIXIE_NODE
    own_disk = bool(request.config.getoption("--soak"))
    made = Caches.start(recipe, tmp_path_factory.mktemp("caches"), own_disk=own_disk)
    yield made
    made.remove()
