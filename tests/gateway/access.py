"""Expected permissions, written independently of the gateway's own tables."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.gateway.gateway import ACCOUNTS, Answer, Gateway, basic, request_bytes
from tests.gateway.wire import MANIFEST, StoredDigests

REGISTRY_DECIDES = 0
"""In the tables below: the gateway passes the request on, and the answer is the registry's own."""

ROLES = ("pull", "push", "admin")

# The status for each role, in the order of ROLES.
METHODS = {
    "GET": (REGISTRY_DECIDES, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "HEAD": (REGISTRY_DECIDES, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "OPTIONS": (REGISTRY_DECIDES, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "POST": (403, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "PUT": (403, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "PATCH": (403, REGISTRY_DECIDES, REGISTRY_DECIDES),
    "DELETE": (403, 403, REGISTRY_DECIDES),
    "TRACE": (405, 405, 405),
    "CONNECT": (405, 405, 405),
    "PROPFIND": (405, 405, 405),
    "FOO": (405, 405, 405),
    "get": (400, 400, 400),  # not an HTTP method: nginx accepts only upper case
}
CANCEL = (403, REGISTRY_DECIDES, REGISTRY_DECIDES)
OUTSIDE = (404, 404, 404)

CHALLENGE = 'Basic realm="registry.homelab.local"'
UNAUTHORIZED = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
CODES = {400: "MALFORMED", 403: "DENIED", 404: "NOT_FOUND", 405: "UNSUPPORTED"}
"""The error code in the gateway's own answers, by status."""


def endpoints(repository: str, stored: StoredDigests) -> dict[str, str]:
    """Return a target for each endpoint of the API, and for paths outside it."""
    top = f"/v2/{repository}"
    upload = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
    return {
        "base": "/v2/",
        "catalog": "/v2/_catalog?n=1",
        "tags": f"{top}/tags/list",
        "manifest by tag": f"{top}/manifests/v1",
        "manifest by digest": f"{top}/manifests/{stored.manifest}",
        "blob": f"{top}/blobs/{stored.blob}",
        "missing blob": f"{top}/blobs/sha256:{'0' * 64}",
        "upload start": f"{top}/blobs/uploads/",
        "upload session": f"{top}/blobs/uploads/{upload}?_state=x",
        "referrers": f"{top}/referrers/{stored.manifest}",
        "unknown": "/v2/roles/what/is/this",
        "outside": "/v1/",
        "outside, a page": "/v1/search?q=/v2/",
    }


def expected(method: str, place: str, role: str) -> int:
    """Return the expected status for a role, or REGISTRY_DECIDES."""
    row = METHODS[method]
    if place.startswith("outside") and row[-1] == REGISTRY_DECIDES:
        row = OUTSIDE
    elif (method, place) == ("DELETE", "upload session"):
        row = CANCEL
    return row[ROLES.index(role)]


def unknown_callers(gateway: Gateway) -> dict[str, str | None]:
    """Return Authorization headers that the registry does not accept, by name."""
    admin, password = ACCOUNTS["admin"], gateway.password("admin")
    return {
        "no credentials": None,
        **{f"wrong password of {name}": basic(name, "a-wrong-guess") for name in ACCOUNTS.values()},
        "another's password": basic(admin, gateway.password("push")),
        "unknown account": basic("nobody", password),
        "bearer": f"Bearer {password}",
        "broken base64": f"Basic ?{basic(admin, password).removeprefix('Basic ')}",
    }


@dataclass(frozen=True)
class Request:
    """One request of a table; `caller` is a role, or the name of an unknown caller."""

    caller: str
    method: str
    target: str

    def sent(self, callers: dict[str, str | None]) -> bytes:
        """Return the bytes of the request."""
        accept = {"Accept": MANIFEST} if self.method in {"GET", "HEAD"} else {}
        return request_bytes(self.method, self.target, callers[self.caller], accept)

    def __str__(self) -> str:
        return f"{self.caller}: {self.method} {self.target}"


def differences_from_401(answer: Answer, method: str) -> list[str]:
    """Return how an answer differs from the 401 that every unknown caller gets."""
    wanted = {
        "status": (answer.status, 401),
        "challenge": (answer.headers.get("www-authenticate"), [CHALLENGE]),
        "type": (answer.headers.get("content-type"), ["application/json"]),
        "body": (answer.body, b"" if method == "HEAD" else UNAUTHORIZED),
    }
    return [f"{what} is {found!r}" for what, (found, right) in wanted.items() if found != right]


def differences_from_gateway(answer: Answer, status: int, asked: Request) -> list[str]:
    """Return how an answer differs from the gateway's own answer with this status."""
    wrong = [f"status is {answer.status}, not {status}"] if answer.status != status else []
    if asked.method == "HEAD":
        return wrong + (["it has a body"] if answer.body else [])
    try:
        (error,) = json.loads(answer.body)["errors"]
    except (ValueError, LookupError, TypeError):
        return [*wrong, f"body is {answer.body!r}"]
    if error["code"] != CODES[status]:
        wrong.append(f"code is {error['code']}")
    if status == 403 and error["message"] != denial_message(asked.caller, asked.method):
        wrong.append(f"message is {error['message']!r}")
    return wrong


def denial_message(role: str, method: str) -> str:
    """Return the message for an account whose role does not permit the method."""
    lacks = "deleting takes the role admin" if method == "DELETE" else "pushing takes the role push or admin"
    return f"account {ACCOUNTS[role]} has the role {role}; {lacks}"


def differences_from_registry(answer: Answer, bare: Answer, renamed: tuple[str, str]) -> list[str]:
    """Return how an answer differs from the registry's own answer to the same request for another repository."""
    wrong = (
        [f"status is {answer.status}, the registry's {bare.status}"] if answer.status != bare.status else []
    )
    if answer.status in {401, 403}:
        wrong.append(f"status is {answer.status}")
    here, there = (name.encode() for name in renamed)
    if answer.body.replace(here, there) != bare.body.replace(here, there):
        wrong.append(f"body is {answer.body!r}, the registry's {bare.body!r}")
    for name in ("content-type", "docker-content-digest", "docker-distribution-api-version"):
        if answer.headers.get(name) != bare.headers.get(name):
            wrong.append(f"{name} is {answer.headers.get(name)}, the registry's {bare.headers.get(name)}")
    return wrong
