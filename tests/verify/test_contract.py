"""The registry's API, endpoint by endpoint. All fields of the contract are as it says; there may be more."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tasks.registry import containers
from tasks.settings.load import Settings
from tests.verify import images
from tests.verify.backend import Host
from tests.verify.client import MANIFEST, Client
from tests.verify.deployment import Deployment, Login
from tests.verify.images import Image

LOGS = "see docker logs homelab-registry on the registry host"
ENDPOINTS = [
    ("GET", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/homelab-verify/tags/list"),
    ("GET", "/v2/homelab-verify/manifests/latest"),
    ("PUT", "/v2/homelab-verify/manifests/latest"),
    ("DELETE", "/v2/homelab-verify/manifests/latest"),
]


@dataclass(frozen=True)
class Pushed:
    """An image under two tags."""

    repository: str
    image: Image
    answer: httpx.Response
    push: Login
    pull: Login
    delete: Login
    tags: tuple[str, str] = ("v1.0.0", "latest")


@pytest.fixture
def pushed(deployment: Deployment, client: Client, repository: str) -> Pushed:
    image, push = images.make(), deployment.login("push", "admin")
    image.push_blobs(client, repository, push)
    answers = [client.manifest("PUT", repository, tag, push, content=image.manifest) for tag in Pushed.tags]
    pull, delete = deployment.login("pull", "push", "admin"), deployment.login("admin", "push")
    return Pushed(repository, image, answers[0], push, pull, delete)


def check(answer: httpx.Response, status: int, **headers: str) -> None:
    """Assert an answer's status and headers."""
    asked = f"{answer.request.method} {answer.request.url.path}"
    assert answer.status_code == status, (
        f"{asked} answers {answer.status_code} instead of {status} ({answer.text.strip()[:200]}); {LOGS}"
    )
    for name, value in headers.items():
        found = answer.headers.get(name.replace("_", "-"))
        assert found == value, (
            f"{asked}: the header {name.replace('_', '-')} is {found!r}, not {value!r}; {LOGS}"
        )


def check_error(answer: httpx.Response, status: int, code: str, message: str | None = None) -> None:
    """Assert that an answer is the registry's own error."""
    check(answer, status)
    asked = f"{answer.request.method} {answer.request.url.path}"
    errors = fields(answer).get("errors") or [{}]
    wanted = {"code": code} | ({"message": message} if message else {})
    assert wanted.items() <= errors[0].items(), f"{asked}: its error is {errors[0]}, not {wanted}; {LOGS}"


def fields(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in an answer."""
    kind, asked = answer.headers.get("Content-Type", ""), f"{answer.request.method} {answer.request.url.path}"
    assert "json" in kind, f"{asked} answers with {kind or 'no Content-Type'}, not with JSON; {LOGS}"
    return dict(answer.json())


def may_delete(pushed: Pushed, settings: Settings) -> bool:
    """Return whether the account in `pushed` that deletes may do so."""
    return settings.registry_accounts[pushed.delete.name] == "admin"


def test_every_account_is_let_in(client: Client, deployment: Deployment, settings: Settings) -> None:
    for account, role in settings.registry_accounts.items():
        if role == "metrics":
            continue  # tests/verify/test_metrics.py
        answer = client.request("GET", "/v2/", deployment.login_as(account))
        assert answer.status_code == 200, (
            f"the password in {deployment.store.password_path(account)} is refused "
            f"({answer.status_code}); run make deploy"
        )
        check(answer, 200, Docker_Distribution_Api_Version="registry/2.0")
        assert fields(answer) == {}, f"GET /v2/ answers {answer.text!r}, not {{}}; {LOGS}"


@pytest.mark.parametrize("who", ["no login", "an unknown account", "a wrong password", "a longer password"])
def test_nobody_else_is_let_in(client: Client, deployment: Deployment, settings: Settings, who: str) -> None:
    right = deployment.login("admin", "push", "pull")
    login = {
        "no login": None,
        "an unknown account": Login(f"homelab-verify-{secrets.token_hex(4)}", right.password),
        "a wrong password": Login(right.name, secrets.token_urlsafe(32)),
        "a longer password": Login(right.name, f"{right.password}x"),
    }[who]
    answers = {
        f"{method} {path}": client.request(method, path, login, content=b"{}" if method == "PUT" else None)
        for method, path in ENDPOINTS
    }
    let_in = [f"{asked} ({each.status_code})" for asked, each in answers.items() if each.status_code != 401]
    assert not let_in, (
        f"{', '.join(let_in)} should answer 401 to {who}; run make deploy, and if that does not help, disconnect "
        "the registry from the network: it is open"
    )
    for answer in answers.values():
        check_error(answer, 401, "UNAUTHORIZED", "authentication required")
        check(answer, 401, WWW_Authenticate=f'Basic realm="{settings.registry_hostname}"')


def test_catalog_lists_a_pushed_repository(client: Client, pushed: Pushed) -> None:
    path: str | None = "/v2/_catalog"
    seen: list[str] = []
    while path:
        answer = client.request("GET", path, pushed.pull)
        check(answer, 200)
        seen += fields(answer)["repositories"]
        link = re.fullmatch(r"<(.+)>; rel=\"next\"", answer.headers.get("Link", ""))
        path = link[1] if link else None
    assert pushed.repository in seen, f"GET /v2/_catalog does not list the repository just pushed to; {LOGS}"


def test_tags_are_listed(client: Client, pushed: Pushed) -> None:
    answer = client.request("GET", f"/v2/{pushed.repository}/tags/list", pushed.pull)
    check(answer, 200)
    found = fields(answer)
    assert found["name"] == pushed.repository, (
        f"the list of tags is of {found['name']}, not of {pushed.repository}; {LOGS}"
    )
    assert sorted(found["tags"]) == sorted(pushed.tags), (
        f"the list of tags is {found['tags']}, not {list(pushed.tags)}; {LOGS}"
    )


def test_an_unknown_repository_has_no_tags(client: Client, deployment: Deployment) -> None:
    path = f"/v2/homelab-verify-{secrets.token_hex(8)}/tags/list"
    answer = client.request("GET", path, deployment.login("pull", "push", "admin"))
    check_error(answer, 404, "NAME_UNKNOWN", "repository name not known to registry")


def test_a_manifest_is_read_as_it_was_pushed(client: Client, pushed: Pushed) -> None:
    for reference in (*pushed.tags, pushed.image.digest):
        answer = client.manifest("GET", pushed.repository, reference, pushed.pull)
        check(answer, 200, Content_Type=MANIFEST, Docker_Content_Digest=pushed.image.digest)
        assert answer.json() == pushed.image.fields, (
            f"the manifest {reference} has other fields than the one that was pushed; {LOGS}"
        )
        assert answer.content == pushed.image.manifest, (
            f"the manifest {reference} has other bytes than the one that was pushed; {LOGS}"
        )


def test_layers_are_read_as_they_were_pushed(client: Client, pushed: Pushed) -> None:
    for content in (pushed.image.config, pushed.image.layer):
        digest = images.digest(content)
        answer = client.request("GET", f"/v2/{pushed.repository}/blobs/{digest}", pushed.pull)
        check(answer, 200, Docker_Content_Digest=digest)
        assert answer.content == content, (
            f"the layer {digest} has other bytes than the one that was pushed; check the registry's disk"
        )


def test_a_push_is_answered_with_its_place(client: Client, pushed: Pushed) -> None:
    place = f"/v2/{pushed.repository}/manifests/{pushed.image.digest}"
    check(pushed.answer, 201, Location=place, Docker_Content_Digest=pushed.image.digest)


def test_delete_by_digest(client: Client, pushed: Pushed, settings: Settings) -> None:
    answer = client.manifest("DELETE", pushed.repository, pushed.image.digest, pushed.delete)
    if not (settings.registry_delete_enabled and may_delete(pushed, settings)):
        check_error(answer, *((405, "UNSUPPORTED") if may_delete(pushed, settings) else (403, "DENIED")))
        check(client.manifest("GET", pushed.repository, pushed.image.digest, pushed.pull), 200)
        return
    check(answer, 202)
    assert answer.content == b"", (
        f"DELETE answers with the body {answer.text!r}, where the contract has none; {LOGS}"
    )
    for reference in (*pushed.tags, pushed.image.digest):
        again = client.manifest("GET", pushed.repository, reference, pushed.pull)
        check_error(again, 404, "MANIFEST_UNKNOWN")
    left = client.tags(pushed.repository, pushed.pull)
    assert left == [], f"after the DELETE of their manifest the tags {left} are still listed; {LOGS}"


def test_delete_by_tag(client: Client, pushed: Pushed, settings: Settings, registry: Host) -> None:
    """3.x removes that tag alone. 2.8 cannot, and must refuse rather than delete the image."""
    gone, kept = pushed.tags
    version = registry.output(f"docker exec {containers.REGISTRY} registry --version").split()[-1]
    answer = client.manifest("DELETE", pushed.repository, gone, pushed.delete)
    deletes = settings.registry_delete_enabled and may_delete(pushed, settings)
    if int(version.removeprefix("v").partition(".")[0]) >= 3 and deletes:
        check(answer, 202)
        check_error(client.manifest("GET", pushed.repository, gone, pushed.pull), 404, "MANIFEST_UNKNOWN")
    else:
        assert answer.status_code in {400, 403, 405}, (
            f"registry {version} answers {answer.status_code} instead of refusing a DELETE by tag; {LOGS}"
        )
        check(client.manifest("GET", pushed.repository, gone, pushed.pull), 200)
    check(client.manifest("GET", pushed.repository, kept, pushed.pull), 200)
