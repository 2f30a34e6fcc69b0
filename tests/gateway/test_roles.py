"""Permissions at the gateway, tested by requests: every role and unknown caller, method and endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tasks.registry import web
from tests.gateway import access, malformed_requests
from tests.gateway.access import (
    METHODS,
    REGISTRY_DECIDES,
    ROLES,
    Request,
    endpoints,
    expected,
    unknown_callers,
)
from tests.gateway.gateway import ACCOUNTS, NAME, Answer, Gateway, basic
from tests.gateway.limit import check_limit
from tests.gateway.wire import all_stored, ask_all, ask_registry, store

SIMILAR_NAMES: dict[str, str] = {"admin-2": "pull", "2.admin": "pull", "my.admin": "pull", "my-admin": "push"}
"""Accounts whose names contain `admin`, or differ by a character that a dot in a pattern would match."""


def deploy(gateway: Gateway, **settings: object) -> None:
    """Deploy with a high limit for wrong passwords: with the default, each answer would take half a second."""
    accounts = {name: role for role, name in ACCOUNTS.items()} | SIMILAR_NAMES
    gateway.deploy(registry_max_guesses=1000, registry_accounts=accounts, **settings)


@pytest.fixture(scope="module")
def gate(gateway: Gateway) -> Gateway:
    deploy(gateway)
    return gateway


@pytest.fixture
def deletes_disabled(gate: Gateway) -> Gateway:
    """The gateway with deletes disabled; only for the last test, since it stays so."""
    deploy(gate, registry_delete_enabled=False)
    return gate


def callers(gate: Gateway) -> dict[str, str | None]:
    return {**{role: gate.authorization(role) for role in ROLES}, **unknown_callers(gate)}


def check(
    gate: Gateway, cells: Sequence[tuple[Request, int]], here: str, there: str, lines: int = 6
) -> list[str]:
    """Send requests, each with its expected status or REGISTRY_DECIDES; return what is wrong with the answers.

    To compare with the registry's own answers, it gets the same requests for the repository `there` instead of `here`.
    """
    known = callers(gate)
    answers = ask_all(gate, [each.sent(known) for each, _ in cells], lines)
    judged = [
        (asked, answer)
        for (asked, status), answer in zip(cells, answers, strict=True)
        if status == REGISTRY_DECIDES
    ]
    past = [
        Request(asked.caller, asked.method, asked.target.replace(here, there)).sent(known)
        for asked, _ in judged
    ]
    wrong = [
        f"{asked}: {text}"
        for (asked, answer), bare in zip(judged, ask_registry(gate, past), strict=True)
        for text in access.differences_from_registry(answer, bare, (here, there))
    ]
    for (asked, status), answer in zip(cells, answers, strict=True):
        if status == 401:
            wrong += [f"{asked}: {text}" for text in access.differences_from_401(answer, asked.method)]
        elif status != REGISTRY_DECIDES:
            wrong += [f"{asked}: {text}" for text in access.differences_from_gateway(answer, status, asked)]
    return wrong


def test_every_method_at_every_endpoint_by_every_caller(gate: Gateway) -> None:
    """Permitted deletes come last, one after the other, since they change what is stored."""
    here, there = "roles/asked", "roles/alike"
    stored = store(gate, here)
    assert store(gate, there) == stored
    before = all_stored(gate)
    cells = []
    for place, target in endpoints(here, stored).items():
        for method in METHODS:
            malformed = 400 if method == "get" else 401
            cells += [(Request(name, method, target), malformed) for name in unknown_callers(gate)]
            cells += [(Request(role, method, target), expected(method, place, role)) for role in ROLES]
    assert len(cells) == 13 * 12 * 11
    deletes = [cell for cell in cells if (cell[0].caller, cell[0].method) == ("admin", "DELETE")]
    others = [cell for cell in cells if cell not in deletes]
    assert check(gate, others, here, there) == []
    assert all_stored(gate) == before
    assert check(gate, deletes, here, there, lines=1) == []
    gone = [line for line in before.splitlines() if line not in all_stored(gate)]
    assert {here in line or there in line for line in gone} == {True}
    assert sum(here in line for line in gone) == sum(there in line for line in gone) >= 2


def test_every_role_can_read(gate: Gateway) -> None:
    """So the table above compares more than errors."""
    stored = store(gate, "roles/read")
    target = endpoints("roles/read", stored)
    asked = [(role, method, place) for role in ROLES for method, place in (
        ("GET", "base"), ("GET", "catalog"), ("GET", "tags"), ("GET", "manifest by tag"),
        ("HEAD", "manifest by tag"), ("GET", "manifest by digest"), ("GET", "blob"), ("HEAD", "blob"),
    )]  # fmt: skip
    known = callers(gate)
    answers = ask_all(
        gate, [Request(role, method, target[place]).sent(known) for role, method, place in asked]
    )
    assert [each for each, answer in zip(asked, answers, strict=True) if answer.status != 200] == []


PAGE = ["/", *(f"/web/{name}" for name in web.PUBLIC if name != web.START)]
NO_PAGE = [
    "/?", "//", "/.", "/x/..", "/web", "/web/", "/web/index.html", "/web/app.js?x", "/web//app.js", "/web/./app.js",
    "/web/%61pp.js", "/web/app.js/", "/web/nothing", "/web/tls/current.pem", "/web/../tls/current.pem", "/web/..%2fnginx.conf",
    "/tls/current.pem", "/nginx.conf", "/shown/about.json", "/limit/figures", "/web/about.json?x", "/x/../web/about.json",
]  # fmt: skip


def test_anyone_reads_the_page_and_the_ca_and_nothing_else(gate: Gateway) -> None:
    known, unknown = callers(gate), unknown_callers(gate)
    wrong = []
    for target in PAGE:
        for caller in (*unknown, "pull"):
            for method in ("GET", "HEAD"):
                answer = gate.send(Request(caller, method, target).sent(known))
                policy = (answer.header("Content-Security-Policy") or "").split("; ")
                wrong += [f"{method} {target}: {answer.status}"] if answer.status != 200 else []
                assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} < set(policy)
                assert answer.header("X-Content-Type-Options") == "nosniff"
                assert answer.header("Referrer-Policy") == "no-referrer"
                assert answer.header("X-Registry-Role") is None
        asked = [
            Request(caller, method, target) for caller in unknown for method in ("POST", "DELETE", "OPTIONS")
        ]
        for each, answer in zip(asked, ask_all(gate, [each.sent(known) for each in asked]), strict=True):
            wrong += [f"{each}: {text}" for text in access.differences_from_401(answer, each.method)]
    cells = [(Request(name, "GET", target), 401) for target in NO_PAGE for name in unknown]
    cells += [(Request(role, "GET", target), 404) for target in NO_PAGE for role in ROLES]
    cells += [
        (Request(name, "GET", target), 401)
        for target in ("/web/about.json", "/web/index.json")
        for name in unknown
    ]
    assert wrong + check(gate, cells, "roles/none", "roles/none") == []
    assert gate.request("GET", "/web/ca.crt").body == gate.ca.read_bytes()


def test_the_proven_learn_their_role_and_what_is_known_of_the_registry(gate: Gateway) -> None:
    for role in ROLES:
        proven = gate.authorization(role)
        assert gate.request("GET", "/v2/", proven).header("X-Registry-Role") == role
        assert gate.request("GET", "/v2/_catalog", proven).header("X-Registry-Role") is None
        about = gate.request("GET", "/web/about.json", proven)
        assert (about.status, about.header("Cache-Control")) == (200, "no-store")
        assert json.loads(about.body)["name"] == NAME
    for caller, authorization in unknown_callers(gate).items():
        assert gate.request("GET", "/v2/", authorization).header("X-Registry-Role") is None, caller


@pytest.mark.parametrize("name", SIMILAR_NAMES)
def test_an_account_with_a_name_similar_to_admin_has_its_own_role(gate: Gateway, name: str) -> None:
    password = (gate.deployment.store.folder / "accounts" / f"{name}.password").read_text().rstrip("\n")
    target = f"/v2/roles/none/manifests/sha256:{'0' * 64}"
    deleted = gate.request("DELETE", target, basic(name, password))
    message = f"account {name} has the role {SIMILAR_NAMES[name]}; deleting takes the role admin"
    assert (deleted.status, json.loads(deleted.body)["errors"][0]["message"]) == (403, message)
    pushed = gate.request("PUT", f"/v2/roles/none/manifests/{name}", basic(name, password))
    assert pushed.status == (403 if SIMILAR_NAMES[name] == "pull" else 400)


def test_the_push_role_mounts_blobs_and_cancels_uploads(gate: Gateway) -> None:
    stored = store(gate, "roles/from")
    pull, push = gate.authorization("pull"), gate.authorization("push")
    mount = f"/v2/roles/mounted/blobs/uploads/?mount={stored.blob}&from=roles/from"
    assert gate.request("POST", mount).status == 401
    assert gate.request("POST", mount, pull).status == 403
    assert gate.request("HEAD", f"/v2/roles/mounted/blobs/{stored.blob}", pull).status == 404
    assert gate.request("POST", mount, push).status == 201
    assert gate.request("HEAD", f"/v2/roles/mounted/blobs/{stored.blob}", pull).status == 200
    begun = gate.request("POST", "/v2/roles/mounted/blobs/uploads/", push)
    upload = begun.header("Location")
    assert (begun.status, upload is None) == (202, False)
    assert gate.request("GET", str(upload), pull).status == 204
    assert gate.request("DELETE", str(upload)).status == 401
    assert gate.request("DELETE", str(upload), pull).status == 403
    assert gate.request("DELETE", str(upload), push).status == 204
    assert gate.request("GET", str(upload), push).status == 404


def test_malformed_targets(gate: Gateway) -> None:
    """Refused requests change nothing in the storage; admin's deletes come last."""
    stored = store(gate, malformed_requests.REPOSITORY)
    assert store(gate, "roles/twin") == stored
    before = all_stored(gate)
    targets = malformed_requests.targets(stored)
    cells = [
        (Request(name, method, target), 400 if row == malformed_requests.MALFORMED else 401)
        for method, target, row in targets
        for name in unknown_callers(gate)
    ]
    asked = [
        (Request(role, method, target), status)
        for method, target, row in targets
        for role, status in zip(ROLES, row, strict=True)
    ]
    deletes = [cell for cell in asked if (cell[0].caller, cell[0].method) == ("admin", "DELETE")]
    cells += [cell for cell in asked if cell not in deletes]
    assert check(gate, cells, malformed_requests.REPOSITORY, "roles/twin") == []
    assert all_stored(gate) == before
    assert check(gate, deletes, malformed_requests.REPOSITORY, "roles/twin", lines=1) == []


def test_random_targets(gate: Gateway, soak: bool) -> None:
    """Unknown callers are always refused; pull changes nothing with any method, and push deletes nothing."""
    stored = store(gate, malformed_requests.REPOSITORY)
    before = all_stored(gate)
    known = callers(gate)
    targets = list(malformed_requests.random_targets(1, 20_000 if soak else 200, stored))
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    cells = [
        Request(f"wrong password of {name}", methods[number % 6], target)
        for number, target in enumerate(targets)
        for name in ("admin", "cluster")
    ]
    cells += [Request("pull", methods[2 + number % 4], target) for number, target in enumerate(targets)]
    cells += [Request("push", "DELETE", target) for target in targets]
    answers = ask_all(gate, [cell.sent(known) for cell in cells])
    wrong = []
    for cell, answer in zip(cells, answers, strict=True):
        if answer.status == 400 or (answer.status == 404 and cell.caller in ROLES):
            text = (
                access.differences_from_gateway(answer, answer.status, cell)
                if cell.caller not in ROLES
                else []
            )
        elif cell.caller in ROLES:
            text = access.differences_from_gateway(answer, 403, cell)
        else:
            text = access.differences_from_401(answer, cell.method)
        wrong += [f"{cell}: {each}" for each in text]
    assert wrong == []
    assert all_stored(gate) == before


def test_malformed_credentials(gate: Gateway) -> None:
    """Each request deletes a missing manifest: if the gateway accepts the login as admin's, the registry answers 404."""
    target = f"/v2/roles/none/manifests/sha256:{'0' * 64}"
    lines = malformed_requests.credentials(gate)
    sent = [f"DELETE {target} HTTP/1.1\r\nHost: {NAME}\r\n{line}\r\n\r\n".encode() for line, _ in lines]
    asked = Request("pull", "DELETE", target)
    wrong = []
    for (line, status), answer in zip(lines, ask_all(gate, sent), strict=True):
        if status == REGISTRY_DECIDES:
            text = (
                [] if answer.status == 404 and b"UNKNOWN" in answer.body else [f"status is {answer.status}"]
            )
        elif status == 401:
            text = access.differences_from_401(answer, "DELETE")
        else:
            text = access.differences_from_gateway(answer, status, asked)
        wrong += [f"{line[:120]!r}: {each}" for each in text]
    assert wrong == []


@pytest.mark.parametrize("head", ["HTTP/1.0", f"HTTP/1.0\r\nHost: {NAME}", "HTTP/1.1\r\nHost: a<b"])
def test_old_and_malformed_request_heads(gate: Gateway, head: str) -> None:
    """HTTP/1.0 has no Host header, and the registry would refuse a malformed one; the gateway never passes on the client's."""

    def sent(method: str, target: str, caller: str) -> Answer:
        given = callers(gate)[caller]
        more = f"\r\nAuthorization: {given}" if given else ""
        return gate.send(f"{method} {target} {head}{more}\r\nConnection: close\r\n\r\n".encode())

    manifest = "/v2/roles/none/manifests/v1"
    for stranger in unknown_callers(gate):
        for method, target in (("GET", "/v2/"), ("PUT", manifest), ("DELETE", manifest), ("GET", "/v1/")):
            assert access.differences_from_401(sent(method, target, stranger), method) == [], (
                stranger,
                method,
                target,
            )
    denied = Request("pull", "PUT", manifest)
    assert access.differences_from_gateway(sent("PUT", manifest, "pull"), 403, denied) == []
    assert [sent("GET", "/v2/", role).status for role in ROLES] == [200, 200, 200]
    assert sent("PUT", manifest, "push").status == 400


def test_an_unknown_http_version_is_malformed(gate: Gateway) -> None:
    answer = gate.send(f"GET /v2/ HTTP/2.0\r\nHost: {NAME}\r\n\r\n".encode())
    assert access.differences_from_gateway(answer, 400, Request("pull", "GET", "/v2/")) == []


def test_at_the_storage_limit_no_upload_begins_and_all_else_goes_on(gate: Gateway) -> None:
    check_limit(gate)


def test_with_deletes_disabled_the_gateway_refuses_admins_too(deletes_disabled: Gateway) -> None:
    gate = deletes_disabled
    stored = store(gate, "roles/kept")
    before = all_stored(gate)
    admin = gate.authorization("admin")
    cells = []
    for place, target in endpoints("roles/kept", stored).items():
        refused = (
            404 if place.startswith("outside") else REGISTRY_DECIDES if place == "upload session" else 405
        )
        cells.append((Request("admin", "DELETE", target), refused))
        cells += [
            (Request(role, "DELETE", target), expected("DELETE", place, role)) for role in ("pull", "push")
        ]
        cells += [(Request(name, "DELETE", target), 401) for name in unknown_callers(gate)]
    assert check(gate, cells, "roles/kept", "roles/kept") == []
    message = json.loads(gate.request("DELETE", f"/v2/roles/kept/manifests/{stored.manifest}", admin).body)
    assert message["errors"][0]["message"] == "nothing may be deleted here (registry_delete_enabled is off)"
    assert all_stored(gate) == before
    for role in ("push", "admin"):
        upload = gate.request("POST", "/v2/roles/kept/blobs/uploads/", gate.authorization(role)).header(
            "Location"
        )
        assert gate.request("DELETE", str(upload), gate.authorization(role)).status == 204
