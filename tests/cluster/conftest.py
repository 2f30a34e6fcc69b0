"""A real cluster that all tests of this folder share: one control plane, a node over each generation of containerd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.cluster import Cluster
from tests.bench.hosts import remove_leftovers
from tests.bench.recipes import KUBE16_NODE, KUBE23_NODE

NODES = {"node16": KUBE16_NODE, "node23": KUBE23_NODE}


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster.start(NODES, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.remove()
