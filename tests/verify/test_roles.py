"""What each account may do: what its role allows, and nothing beyond it."""

from __future__ import annotations

import secrets

from tasks.settings.load import Settings
from tests.verify import images
from tests.verify.client import Client
from tests.verify.deployment import Deployment, Login

OPEN = (
    "run make deploy, and if that does not help, disconnect the registry from the network: accounts can do more than "
    "their role allows"
)


def check_denied(client: Client, method: str, path: str, login: Login, role: str) -> None:
    """Assert that a request is refused, with a message that says why."""
    answer = client.request(method, path, login, content=b"{}" if method in {"PUT", "PATCH"} else None)
    asked = f"{method} {path} as {login.name} ({role})"
    assert answer.status_code == 403, f"{asked} answers {answer.status_code}, not 403; {OPEN}"
    (error,) = answer.json()["errors"]
    assert error["code"] == "DENIED", f"{asked} is refused with {error}; run make deploy"
    reason = f"account {login.name} has the role {role}; "
    assert error["message"].startswith(reason), (
        f"{asked} is refused with {error}, which lacks {reason!r}; run make deploy"
    )


def test_an_account_that_pulls_cannot_push_or_delete(
    client: Client, deployment: Deployment, settings: Settings, repository: str
) -> None:
    digest = images.digest(b"")
    for account, role in settings.registry_accounts.items():
        if role != "pull":
            continue
        login = deployment.login_as(account)
        check_denied(client, "POST", f"/v2/{repository}/blobs/uploads/", login, role)
        check_denied(
            client, "POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={repository}", login, role
        )
        check_denied(client, "PUT", f"/v2/{repository}/manifests/v1", login, role)
        for path in (f"manifests/{digest}", f"blobs/{digest}", f"blobs/uploads/{secrets.token_hex(16)}"):
            check_denied(client, "DELETE", f"/v2/{repository}/{path}", login, role)


def test_an_account_that_pushes_cannot_delete(
    client: Client, deployment: Deployment, settings: Settings, repository: str
) -> None:
    for account, role in settings.registry_accounts.items():
        if role != "push":
            continue
        login = deployment.login_as(account)
        begun = client.request("POST", f"/v2/{repository}/blobs/uploads/", login)
        assert begun.status_code == 202, (
            f"{account} cannot begin an upload ({begun.status_code}); run make deploy"
        )
        cancelled = client.request("DELETE", begun.headers["Location"], login)
        assert cancelled.status_code == 204, (
            f"{account} cannot cancel its own upload ({cancelled.status_code}); run make deploy"
        )
        for path in (f"manifests/{images.digest(b'')}", f"blobs/{images.digest(b'')}"):
            check_denied(client, "DELETE", f"/v2/{repository}/{path}", login, role)
