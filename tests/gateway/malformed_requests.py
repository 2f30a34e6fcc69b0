"""Requests that no registry client sends: malformed targets and credentials, and random ones."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator

from tests.gateway.access import REGISTRY_DECIDES
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.wire import StoredDigests

REPOSITORY = "roles/odd"
UPLOAD = f"/v2/{REPOSITORY}/blobs/uploads"

READ = (REGISTRY_DECIDES, REGISTRY_DECIDES, REGISTRY_DECIDES)
WRITE = (403, REGISTRY_DECIDES, REGISTRY_DECIDES)
DELETE = (403, 403, REGISTRY_DECIDES)
OUTSIDE = (404, 404, 404)
MALFORMED = (400, 400, 400)


def targets(stored: StoredDigests) -> list[tuple[str, str, tuple[int, int, int]]]:
    """Return method, target, and the expected status for pull, push and admin.

    The gateway decides by the path as it was sent: push may cancel only an upload with a plain path.
    """
    manifest = f"manifests/{stored.manifest}"
    return [
        # the path of an upload after normalization, of a manifest as sent; and the reverse
        ("DELETE", f"/v2/{REPOSITORY}/{manifest}/../../blobs/uploads/u", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/manifests/x/../../blobs/uploads/u", DELETE),
        ("DELETE", f"{UPLOAD}/../../{manifest}", DELETE),
        ("DELETE", f"{UPLOAD}/..%2f..%2f{manifest}", DELETE),
        ("DELETE", f"{UPLOAD}/..%2F..%2Fmanifests%2Fv1", DELETE),
        ("DELETE", f"{UPLOAD}/%2e%2e/%2e%2e/{manifest}", DELETE),
        ("DELETE", f"{UPLOAD}/%2E%2E%2F%2E%2E%2F{manifest}", DELETE),
        ("DELETE", f"{UPLOAD}/..", DELETE),
        ("DELETE", f"{UPLOAD}/.", DELETE),
        ("DELETE", f"{UPLOAD}//", DELETE),
        ("DELETE", f"{UPLOAD}/u/", DELETE),
        ("DELETE", f"{UPLOAD}/u%3f/../../../{manifest}", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/{manifest}#/blobs/uploads/u", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/{manifest}?/blobs/uploads/u", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/{manifest}/blobs/uploads/u", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}//{manifest}", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/./{manifest}", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}%2F{manifest}", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/manifests%2F{stored.manifest}", DELETE),
        ("DELETE", f"/v2/{REPOSITORY}/blobs/{stored.blob}/../uploads/u", DELETE),
        ("DELETE", f"https://{NAME}/v2/{REPOSITORY}/{manifest}", DELETE),
        # reads and writes in disguise
        ("GET", f"/v2/{REPOSITORY.replace('/', '%2F')}/manifests/v1", READ),
        ("GET", f"/v2//{REPOSITORY}/manifests/v1", READ),
        ("GET", f"/v2/./{REPOSITORY}/manifests/v1", READ),
        ("GET", f"/v2/x/../{REPOSITORY}/manifests/v1", READ),
        ("GET", f"/v2/x/%2e%2e/{REPOSITORY}/manifests/v1", READ),
        ("GET", f"/v2/{REPOSITORY}/blobs/{stored.blob}/", READ),
        ("GET", f"/v2/{REPOSITORY}/blobs/%73ha256:{stored.blob[7:]}", READ),
        ("GET", f"/v2/roles/elsewhere/blobs/{stored.blob}", READ),
        ("GET", f"{UPLOAD}/..", READ),
        ("GET", f"{UPLOAD}/.", READ),
        ("GET", "/v2/_catalog/", READ),
        ("GET", "/v2/_catalog?last=../../x", READ),
        ("GET", "/v2/#fragment", READ),
        ("GET", "/v2/.", READ),
        ("GET", "/v2/\N{LATIN SMALL LETTER E WITH ACUTE}", READ),
        ("GET", "http://other/v2/", READ),
        ("GET", "https://other:99/v2/_catalog", READ),
        ("PUT", f"/v2/{REPOSITORY.replace('/', '%2F')}/manifests/v2", WRITE),
        ("PUT", f"/v2/{REPOSITORY}//manifests/v2", WRITE),
        ("PUT", f"/v2/{REPOSITORY}/./manifests/v2", WRITE),
        ("PUT", f"http://other/v2/{REPOSITORY}/manifests/v2", WRITE),
        ("POST", f"/v2/{REPOSITORY}/blobs%2Fuploads/", WRITE),
        ("POST", f"/v2/{REPOSITORY}/blobs/uploads", WRITE),
        ("PATCH", f"{UPLOAD}/../uploads/u", WRITE),
        # the gateway's internal names, and paths that only look as if they were below /v2/
        ("GET", "/_check_password", OUTSIDE),
        ("GET", "/_check_read", OUTSIDE),
        ("DELETE", "/_check_read", OUTSIDE),
        ("GET", "/@registry", OUTSIDE),
        ("PUT", "/@push", OUTSIDE),
        ("GET", "/_malformed", OUTSIDE),
        ("GET", "/v2/../_check_password", OUTSIDE),
        ("GET", "/v2/..%2f_check_read", OUTSIDE),
        ("GET", "//v2/", OUTSIDE),
        ("GET", "/./v2/", OUTSIDE),
        ("GET", "/x/../v2/", OUTSIDE),
        ("GET", "/%76%32/", OUTSIDE),
        ("GET", "/V2/", OUTSIDE),
        ("GET", "/v2", OUTSIDE),
        ("GET", "http://other/web/", OUTSIDE),
        ("GET", "http://other/web/?/v2/", OUTSIDE),
        # invalid targets
        ("GET", "*", MALFORMED),
        ("OPTIONS", "*", MALFORMED),
        ("CONNECT", f"{NAME}:443", MALFORMED),
        ("GET", "v2/", MALFORMED),
        ("GET", "/../v2/", MALFORMED),
        ("GET", "/v2/%00", MALFORMED),
        ("GET", "/v2/%zz", MALFORMED),
        ("GET", f"/v2/?{'a' * 9_000}", MALFORMED),
    ]  # fmt: skip


def credentials(gateway: Gateway) -> list[tuple[str, int]]:
    """Return header lines with credentials, and the status of a DELETE of a manifest with them."""
    name, password = ACCOUNTS["admin"], gateway.password("admin")
    token = gateway.authorization("admin").removeprefix("Basic ")
    good, pull = f"Authorization: Basic {token}", f"Authorization: {gateway.authorization('pull')}"
    bad = f"Authorization: {basic(name, 'a-wrong-guess')}"
    denied = [f"{pull}\r\nX-HTTP-Method-Override: GET", f"{pull}\r\nX-Original-URL: {UPLOAD}/u"]
    malformed = [
        f"{good}\r\n{bad}", f"{bad}\r\n{good}", f"{pull}\r\n{good}", f"{good}\r\n{pull}", f"{good}\r\n{good}",
        f"Authorization: Basic\r\n {token}", f"Authorization : Basic {token}",
        f"Authorization: Basic {'A' * 9_000}", f"{good}\r\nX: {'a' * 9_000}",
        f"{good}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", f"{good}\r\nTransfer-Encoding: gzip",
        f"{good}\r\nHost: {NAME}",
    ]  # fmt: skip
    users = [
        name.upper(), name.title(), "", "-", f'{name}"', f"{name}\n", f"{name}\r\nX: y", f"{name}\0", f" {name}",
        f"{name} ", '"', "$role", "none", "default", "admin delete", "\N{LATIN SMALL LETTER E WITH ACUTE}",
        "a" * 3000,
    ]  # fmt: skip
    unauthorized = [
        "Authorization:", "Authorization: Basic", "Authorization: Basic ", f"Authorization: {token}",
        f"Authorization: Basic\t{token}", f"Authorization: Basic  {token}", f"Authorization: Basic {token} x",
        f"Authorization: Basic {token.rstrip('=')}" if token.endswith("=") else f"Authorization: Basic {token}=",
        f"Authorization: Basic {token}, Basic {token}", f"Authorization: Digest {token}",
        f"Authorization: Basic {b64encode(name.encode()).decode()}", f"Authorization_: Basic {token}",
        f"Proxy-Authorization: Basic {token}", f"Authorization: Basic {token[:-4]}",
        f"Authorization: {basic(name, password + ':')}", f"Authorization: {basic(name, password.upper())}",
        *(f"Authorization: {basic(user, password)}" for user in users),
        f"Authorization: {basic('-', '')}",
    ]  # fmt: skip
    return [
        *((line, 403) for line in denied),
        *((line, 400) for line in malformed),
        *((line, 401) for line in unauthorized),
        *(
            (f"{each} {token}", REGISTRY_DECIDES)
            for each in ("Authorization: basic", "authorization:BASIC", "AUTHORIZATION:   Basic")
        ),
    ]


def random_targets(seed: int, count: int, stored: StoredDigests) -> Iterator[str]:
    """Return targets that are combined at random from parts of the API's paths."""
    parts = [
        "/", "/", "//", "..", ".", "/../", "%2f", "%2F", "%2e%2e", "v2", "/v2/", REPOSITORY, "/manifests/", "/blobs/",
        "uploads/", "/uploads", "v1", stored.manifest, stored.blob, "_catalog", "/tags/list", "?", "#", "%00", "%",
        "%25", "\\", ";", ":", "a", "_", "-", "=", "~", "+", "_check_password", "@registry", "%3f", "%23",
    ]  # fmt: skip
    chance = random.Random(seed)  # noqa: S311
    for _ in range(count):
        top = chance.choice(("/", "/v2/", f"/v2/{REPOSITORY}", f"{UPLOAD}/", f"/v2/{REPOSITORY}/manifests/"))
        yield top + "".join(chance.choices(parts, k=chance.randint(1, 6)))
