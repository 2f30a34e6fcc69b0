"""What the gateway lets in while the storage is at its limit: the keeper's answer is put there by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from tests.gateway import access
from tests.gateway.access import Request, unknown_callers
from tests.gateway.gateway import Answer, Gateway
from tests.gateway.pushing import digest, path_and_query
from tests.gateway.wire import MANIFEST, all_stored, store

FOLDER = "/etc/homelab-registry/gateway/limit"
MESSAGE = "the registry's storage is full: 30.1 of 30 GB are used"
BODY = f'{{"errors":[{{"code":"DENIED","message":"{MESSAGE}"}}]}}\n'


@contextmanager
def at_limit(gateway: Gateway) -> Iterator[None]:
    """Have the gateway refuse new uploads while the block runs."""
    gateway.host.write(f"{FOLDER}/full.json", BODY)
    gateway.host.run(f"chown -R 60706:60706 {FOLDER}")
    try:
        yield
    finally:
        gateway.host.run(f"rm -r {FOLDER}")


def check_limit(gateway: Gateway) -> None:
    """Check each request of a push, a pull and a delete, before, at and after the limit."""
    stored = store(gateway, "limit/one")
    doomed = store(gateway, "limit/doomed")
    layer, begin = b"a layer that is new\n" * 1000, "/v2/limit/two/blobs/uploads/"
    missing = f"sha256:{'0' * 64}"
    under_way = _location(ask(gateway, "push", "POST", begin))
    before = all_stored(gateway)
    with at_limit(gateway):
        refused = {
            "a new upload": begin,
            "in one request": f"{begin}?digest={digest(layer)}",
            "a mount of what is not there": f"{begin}?mount={missing}&from=limit/one",
            "a mount from nowhere": f"{begin}?mount={stored.blob}",
            "a mount from an empty name": f"{begin}?mount={stored.blob}&from=",
            "a mount of no digest": f"{begin}?mount={stored.blob[:-1]}&from=limit/one",
        }
        for role in ("push", "admin"):
            for what, target in refused.items():
                answer = ask(gateway, role, "POST", target, layer if "digest=" in target else b"")
                assert (answer.status, answer.body) == (403, BODY.encode()), (role, what)
                assert answer.header("content-type") == "application/json"
                assert answer.header("docker-distribution-api-version") == "registry/2.0"
        for name, authorization in unknown_callers(gateway).items():
            answer = gateway.request("POST", begin, authorization)
            assert access.differences_from_401(answer, "POST") == [], name
        denied = Request("pull", "POST", begin)
        assert access.differences_from_gateway(ask(gateway, "pull", "POST", begin), 403, denied) == []
        answer = gateway.request("GET", "/_storage_limit", gateway.authorization("admin"))
        assert access.differences_from_gateway(answer, 404, Request("admin", "GET", "/")) == []
        assert all_stored(gateway) == before

        for number, blob in enumerate((stored.blob, quote(stored.blob, safe=""))):
            place = f"/v2/limit/mounted-{number}/blobs"
            mount = f"{place}/uploads/?mount={blob}&from={quote('limit/one', safe='')}"
            assert ask(gateway, "push", "POST", mount).status == 201
            assert ask(gateway, "pull", "GET", f"{place}/{stored.blob}").status == 200
        assert ask(gateway, "push", "HEAD", f"/v2/limit/two/blobs/{missing}").status == 404
        patched = ask(gateway, "push", "PATCH", under_way, layer)
        assert patched.status == 202
        finish = f"{_location(patched)}&digest={quote(digest(layer))}"
        assert ask(gateway, "push", "PUT", finish).status == 201
        assert ask(gateway, "pull", "GET", f"/v2/limit/two/blobs/{digest(layer)}").body == layer
        manifest = ask(gateway, "pull", "GET", f"/v2/limit/one/manifests/{stored.manifest}").body
        assert ask(gateway, "push", "PUT", "/v2/limit/one/manifests/v2", manifest, MANIFEST).status == 201
        assert ask(gateway, "admin", "DELETE", f"/v2/limit/doomed/manifests/{doomed.manifest}").status == 202
    assert ask(gateway, "push", "POST", begin).status == 202


def ask(gateway: Gateway, role: str, method: str, target: str, body: bytes = b"", kind: str = "") -> Answer:
    """Send a request as the account with a role."""
    headers = {"Accept": MANIFEST, "Content-Type": kind or "application/octet-stream"}
    return gateway.request(method, target, gateway.authorization(role), headers, body)


def _location(answer: Answer) -> str:
    assert answer.status == 202, answer
    return path_and_query(str(answer.header("location")))
