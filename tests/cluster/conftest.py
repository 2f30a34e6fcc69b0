"""Two real clusters for all tests of this folder: one with a node over each generation of containerd, one with none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.accounts.former_passwords import QUIET
from tests.bench import registry_images
from tests.bench.cluster import CONTROL, Cluster
from tests.bench.hosts import remove_leftovers
from tests.bench.programs import CRI_PULL
from tests.bench.recipes import KUBE16_NODE, KUBE23_NODE
from tests.cluster.served import Served
from tests.fleet.deployment import Deployment

NODES = {"node16": KUBE16_NODE, "node23": KUBE23_NODE}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of the cluster without nodes, so that the two parts can be run at the same time."""
    if "served" in getattr(item, "fixturenames", ()):
        item.add_marker("served")


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster.start(NODES, tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served.start(tmp_path_factory.mktemp("served"))
    yield served
    served.cluster.remove()


@pytest.fixture
def settled(served: Served) -> None:
    """Give all namespaces all of our objects before a test, with another run if the last one left some out."""
    if not served.settled:
        served.settle()


@pytest.fixture(scope="session")
def deployment(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry on the control plane's host, trusted by the cluster's nodes, deployed once."""
    registry_images.load(cluster.control)
    for node in cluster.nodes.values():
        node.give(CRI_PULL)
    groups = {
        "registry": [CONTROL],
        "docker_hosts": [CONTROL],
        "cluster_nodes": list(cluster.nodes),
        "cluster_control": [CONTROL],
    }
    made = Deployment(tmp_path_factory.mktemp("deployment"), cluster.fleet.inventory(groups))
    made.quiet = QUIET
    ran = made.run()
    assert ran.exit_code == 0, ran.output
    return made
