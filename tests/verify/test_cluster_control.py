"""The cluster: every node pulls in every chosen namespace with the pull secret, and not without it."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from tasks.certificates.name_constraints import parse_address
from tasks.settings.load import Settings
from tests.verify import cluster_dns, images, programs
from tests.verify.backend import Host
from tests.verify.client import Client
from tests.verify.deployed import Deployed
from tests.verify.deployment import Deployment, Login
from tests.verify.pods import PULL_FAILED, Kubectl, Pods, outcomes
from tests.verify.test_roles import check_denied

MAX_PODS = 64
"""Pods at most. If there are more pairs of namespace and node, each namespace and each node gets at least one pod."""


@pytest.fixture
def kubectl(control_host: Host, settings: Settings) -> Kubectl:
    return Kubectl(control_host, settings)


@pytest.fixture
def pods(kubectl: Kubectl) -> Iterator[Pods]:
    with closing(Pods(kubectl)) as made:
        yield made


@pytest.fixture
def namespaces(kubectl: Kubectl, settings: Settings) -> list[str]:
    """The chosen namespaces that exist."""
    found = [each["metadata"]["name"] for each in kubectl.read("get", "namespaces")["items"]]
    chosen = settings.registry_pull_secret_namespaces
    if "*" in chosen:
        return [name for name in found if not name.startswith(("kube-", "homelab-verify-"))]
    return [name for name in chosen if name in found]


@pytest.fixture
def nodes(kubectl: Kubectl) -> dict[str, str]:
    """The nodes' architectures by their names."""
    return {
        each["metadata"]["name"]: each["status"]["nodeInfo"]["architecture"]
        for each in kubectl.read("get", "nodes")["items"]
    }


@pytest.fixture
def pulled(
    client: Client, settings: Settings, deployment: Deployment, repository: str, nodes: Mapping[str, str]
) -> dict[str, str]:
    """Push an image that waits for each architecture; return the reference for each node."""
    login = deployment.login("push", "admin")
    for architecture in sorted(set(nodes.values())):
        image = images.make(architecture, programs.waiting(architecture))
        images.push_as(client, repository, architecture, login, image)
    return {node: f"{settings.endpoint}/{repository}:{nodes[node]}" for node in nodes}


def test_it_is_as_deployed(control_host: Host, deployed: Deployed) -> None:
    changes, _ = deployed.cluster(control_host)
    more = f" (and {len(changes) - 1} more)" if changes[1:] else ""
    assert not changes, (
        f"{control_host.name}: the cluster differs from what was deployed: {changes[0]}{more}; run make deploy"
    )


def test_every_node_is_in_the_inventory(control_host: Host, deployed: Deployed) -> None:
    _, unlisted = deployed.cluster(control_host)
    assert not unlisted, (
        f"{control_host.name}: the cluster's nodes {', '.join(unlisted)} are not in cluster_nodes, so pods there cannot "
        "pull; list them there and run make deploy"
    )


def test_the_secret_logs_in_and_cannot_push(
    control_host: Host,
    kubectl: Kubectl,
    namespaces: list[str],
    settings: Settings,
    client: Client,
    repository: str,
) -> None:
    account, name = settings.registry_pull_secret_account, settings.registry_pull_secret_name
    read = kubectl.read("get", "secrets", "-A", f"--field-selector=metadata.name={name}")["items"]
    secrets = {each["metadata"]["namespace"]: each["data"] for each in read}
    logins: dict[Login, str] = {}
    for namespace in namespaces:
        where = f"{control_host.name}: {name} in {namespace}"
        assert namespace in secrets, f"{where} is missing; run make deploy"
        auths = json.loads(base64.b64decode(secrets[namespace][".dockerconfigjson"]))["auths"]
        assert set(auths) == set(settings.endpoints), (
            f"{where} is for {sorted(auths)}, not for {list(settings.endpoints)}; run make deploy"
        )
        for auth in auths.values():
            whose, _, password = base64.b64decode(auth["auth"]).decode().partition(":")
            assert whose == account, f"{where} has the login of {whose}, not of {account}; run make deploy"
            logins.setdefault(Login(whose, password), where)
    # Nearly always a single login.
    for login, where in logins.items():
        answer = client.request("GET", "/v2/", login)
        assert answer.status_code == 200, (
            f"{where} has a login that is refused ({answer.status_code}); run make deploy"
        )
        role = settings.registry_accounts[account]
        if role == "pull":
            check_denied(client, "POST", f"/v2/{repository}/blobs/uploads/", login, role)


def test_pods_pull_and_run_on_every_node(
    pods: Pods, namespaces: list[str], pulled: Mapping[str, str], settings: Settings
) -> None:
    wanted = [(namespace, node) for namespace in namespaces for node in pulled]
    if len(wanted) > MAX_PODS:
        nodes, count = list(pulled), max(len(namespaces), len(pulled))
        wanted = [
            (namespaces[number % len(namespaces)], nodes[number % len(nodes)]) for number in range(count)
        ]
    by_account = "default" in settings.registry_patch_service_accounts
    secret = None if by_account else settings.registry_pull_secret_name
    pods.start([(namespace, node, pulled[node]) for namespace, node in wanted], secret)
    failed = [each for each in pods.outcomes() if each.reason != "Running"]
    assert not failed, (
        f"{failed[0].summary}; {failed[0].remedy}"
        + (f" (and {len(failed) - 1} more of {len(wanted)})" if failed[1:] else "")
    )  # fmt: skip


def test_without_the_secret_the_login_is_missing_and_not_the_trust(
    pods: Pods, deployment: Deployment, pulled: Mapping[str, str]
) -> None:
    """A node with a login of its own may need no secret."""
    own = any(deployment.of(name).registry_node_login for name in deployment.group("cluster_nodes"))
    namespace = pods.namespace()
    pods.start([(namespace, node, image) for node, image in pulled.items()], None)
    for found in pods.outcomes():
        if own and found.reason == "Running":
            continue
        assert found.reason in PULL_FAILED, f"{found.summary}; a pull without a pull secret should be refused"
        assert found.login_refused, f"{found.summary}; {found.remedy}"


def test_pods_resolve_the_names(
    control_host: Host, kubectl: Kubectl, settings: Settings, address: str, note: Callable[[str], None]
) -> None:
    """Pulls of images go through the node and need none of this; builds in pods, Argo CD and Flux do."""
    for name in settings.server_names:
        if parse_address(name):
            continue
        found = cluster_dns.resolve(control_host, kubectl, name, ipaddress.ip_address(address).version)
        remedy = f"give the cluster's DNS {address} for it (docs/other-machines.md, In the cluster)"
        if found is None:
            note(
                f"{control_host.name}: whether pods can resolve {name} was not asked: no DNS server of the cluster answers"
            )
        elif not found:
            note(
                f"{control_host.name}: pods cannot resolve {name}, which builds in pods need (pulls do not); {remedy}"
            )
        else:
            assert address in found, (
                f"{control_host.name}: pods resolve {name} to {', '.join(found)}; {remedy}"
            )


def test_no_pod_waits_for_an_image_of_ours(control_host: Host, kubectl: Kubectl, settings: Settings) -> None:
    waiting = [
        each
        for each in outcomes(kubectl.read("get", "pods", "-A"))
        if each.reason in PULL_FAILED
        and each.image.startswith(tuple(f"{name}/" for name in settings.endpoints))
        if not each.name.startswith("homelab-verify-")
    ]
    assert not waiting, (
        f"{control_host.name}: {waiting[0].summary}; {waiting[0].remedy}"
        + (f" (and {len(waiting) - 1} more)" if waiting[1:] else "")
    )  # fmt: skip
