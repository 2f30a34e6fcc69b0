"""Each node: every runtime that a deploy configures pulls from the registry and checks its certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.settings.load import Settings
from tests.verify import images, runtimes
from tests.verify.backend import Host, last_line
from tests.verify.client import Client
from tests.verify.deployed import Deployed, check_nothing_to_do
from tests.verify.deployment import Deployment
from tests.verify.engine import UNTRUSTED, login_refused
from tests.verify.runtimes import Podman, Runtime
from tests.verify.test_space import check_space


@pytest.fixture
def served(node: Host, deployed: Deployed, note: Callable[[str], None]) -> Iterator[list[Runtime]]:
    """Return the runtimes that can be asked."""
    with runtimes.configured(node, deployed, note) as asked:
        yield asked


def test_it_is_as_deployed(node: Host, deployed: Deployed) -> None:
    check_nothing_to_do(node, deployed.node(node))


def test_each_runtime_pulls(
    node: Host,
    served: list[Runtime],
    settings: Settings,
    deployment: Deployment,
    client: Client,
    repository: str,
    remedy: Callable[[Any], str],
) -> None:
    """If a client of the CRI cannot be given a login safely, being asked for one proves the trust."""
    reference = images.push(client, settings, deployment.login("push", "admin"), repository, node)
    login = deployment.login("pull", "push", "admin")
    for runtime in served:
        done = runtime.pull(reference, login)
        # K3s and RKE2 then have a login of their own, and need none from their client.
        own = RUNTIMES[runtime.name].login_file is None and deployment.of(node.name).registry_node_login
        assert done.rc == 0 or (not own and not runtime.takes_login and login_refused(done)), (
            f"{node.name}: {runtime.title} cannot pull from {settings.endpoint} ({last_line(done)}); {remedy(done)}"
        )
        if isinstance(runtime, Podman):
            _check_skopeo(node, runtime, reference)
            if deployment.of(node.name).registry_node_login:
                done = runtime.pull_as_node(reference)
                assert done.rc == 0, (
                    f"{node.name}: Podman cannot pull with the node's own login ({last_line(done)}); run make deploy"
                )


def test_each_runtime_checks_the_certificate(
    node: Host, served: list[Runtime], deployment: Deployment, unmanaged: str, repository: str
) -> None:
    """Under a name that no trust file covers, the same registry is refused, and for its certificate."""
    for runtime in served:
        done = runtime.pull(f"{unmanaged}/{repository}:v1.0.0", deployment.login("pull", "push", "admin"))
        assert done.rc != 0 and UNTRUSTED in done.stderr, (  # noqa: PT018 - one claim
            f"{node.name}: {runtime.title} does not reject the registry's certificate under a name without our CA "
            f"({last_line(done)}); look for skip_verify and insecure in its configuration there, and for our CA in "
            "the system's trust store"
        )


def test_there_is_room_for_images(node: Host, served: list[Runtime]) -> None:
    for runtime in served:
        check_space(
            node,
            runtime.images,
            f"remove images that {runtime.title} does not use there, or give it a larger disk",
        )


def _check_skopeo(node: Host, podman: Podman, reference: str) -> None:
    if node.run("command -v skopeo").rc == 0:
        done = node.run("skopeo inspect --authfile %s %s", podman.login_file, f"docker://{reference}")
        assert done.rc == 0, (
            f"{node.name}: skopeo cannot read {reference} ({last_line(done)}); run make deploy"
        )
