"""Large layers, ranges of blobs, and many transfers at once: the gateway stores nothing, and every byte arrives."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode
from dataclasses import dataclass

import pytest

from tests.gateway.curl import Curl, SavedAnswer, parse
from tests.gateway.gateway import NAME, Gateway
from tests.gateway.memory import CONTAINERS, sample_memory

MEGABYTE = 10**6
REGISTRY, GATEWAY = CONTAINERS
ONE_TRANSFER = 5 * 2**20
"""2 MB for proxy_buffers, 1 MB each for output_buffers and client_body_buffer_size; the rest is TLS and malloc's
rounding."""


@pytest.mark.parametrize(
    ("version", "framing", "megabytes"),
    [("1.1", "chunked", 500), ("2", "length", 100), ("1.1", "length", 100), ("2", "chunked", 100)],
)
def test_the_gateway_does_not_store_a_large_layer_in_transit(
    gateway: Gateway, soak: bool, version: str, framing: str, megabytes: int
) -> None:
    """The gateway's root is read-only, so /tmp is its only disk space; a layer is more than what fits there."""
    size = (5000 if soak else megabytes) * MEGABYTE
    repository = f"large/{framing}-{version}"
    sha256 = keystream(gateway, size)
    curl = Curl(gateway, "push", version).start()
    with sample_memory(gateway.host) as pushing:
        push(gateway, curl, repository, framing, sha256)
    with sample_memory(gateway.host) as pulling:
        url = f"https://{NAME}/v2/{repository}/blobs/sha256:{sha256}"
        pulled = gateway.host.run(f"{curl} --fail '{url}' | sha256sum").stdout
    assert pulled.split()[0] == sha256
    for peaks in (pushing, pulling):
        print(
            f"{gateway.version} {repository}: {peaks.samples} samples, gateway {peaks.memory(GATEWAY)} bytes, "
            f"/tmp {peaks.temporary(GATEWAY)}, registry {peaks.memory(REGISTRY)}"
        )
        assert peaks.samples > 10
        assert peaks.memory(GATEWAY) <= ONE_TRANSFER
        assert peaks.temporary(GATEWAY) <= MEGABYTE


def keystream(gateway: Gateway, size: int) -> str:
    """Make a layer of `size` bytes in /root/layer; return its SHA-256 in hexadecimal."""
    room = int(gateway.host.run("df --output=avail -B1 /root | tail -n 1").stdout)
    assert room > 4 * size, f"{room} bytes of disk are too few for the layer, its upload and its blob"
    gateway.host.run(
        f"[ $(stat -c %s /root/layer || echo 0) = {size} ] || "
        "openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00 -in /dev/zero 2>/dev/null "
        f"| head -c {size} > /root/layer"
    )
    return gateway.host.run("sha256sum < /root/layer").stdout.split()[0]


def push(gateway: Gateway, curl: str, repository: str, framing: str, sha256: str) -> None:
    """Push /root/layer with one PATCH; `framing` is `length` or `chunked`."""
    begun = gateway.host.run(
        f"{curl} -X POST -D - -o /dev/null https://{NAME}/v2/{repository}/blobs/uploads/"
    )
    location = f"https://{NAME}{parse(begun.stdout)['location']}"
    source = "/root/layer" if framing == "length" else "- < /root/layer"
    sent = gateway.host.run(f"{curl} -v -X PATCH -D - -o /dev/null '{location}' -T {source}")
    head = {line.lower() for line in sent.stderr.replace("\r", "").splitlines() if line.startswith("> ")}
    found = {
        "length": any(line.startswith("> content-length: ") for line in head),
        "chunked": "> transfer-encoding: chunked" in head,
    }
    assert found == {"length": framing == "length", "chunked": framing == "chunked" and "--http1.1" in curl}
    location = f"https://{NAME}{parse(sent.stdout)['location']}&digest=sha256:{sha256}"
    ended = gateway.host.run(f"{curl} -X PUT -o /dev/null -w '%{{http_code}}' '{location}'")
    assert ended.stdout == "201"


IMAGES = 32
AT_ONCE = f"""
set -e
cd /root && rm -rf many && mkdir many && cd many
for i in $(seq {2 * IMAGES}); do
  mkdir $i && head -c 200000 /dev/urandom > $i/file && tar -cf $i/layer.tar -C $i file
  crane append -f $i/layer.tar -t {NAME}/many:$i -o $i/image.tar >/dev/null 2>&1
  crane digest --tarball $i/image.tar > $i/wanted
done
each() {{
  for i in $(seq $1 $2); do ( {{ $3 $i; }} > $i/said 2>&1; echo $? > $i/code ) & done
}}
push() {{ crane push $1/image.tar {NAME}/many:$1 && crane digest {NAME}/many:$1 > $1/got; }}
pull() {{ crane pull {NAME}/many:$1 $1/pulled.tar && crane digest --tarball $1/pulled.tar > $1/got; }}
each 1 {IMAGES} push; wait
echo ready > began
each 1 {IMAGES} pull; each {IMAGES + 1} {2 * IMAGES} push; wait
for i in $(seq {2 * IMAGES}); do echo "$(cat $i/code) $(cat $i/wanted) $(cat $i/got)"; cat $i/said >&2; done
"""


def test_concurrent_pushes_and_pulls_all_succeed(gateway: Gateway) -> None:
    """With the default settings, from one address."""
    with sample_memory(gateway.host) as peaks:
        done = gateway.crane("push", f"version >/dev/null\n{AT_ONCE}")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 * IMAGES
    for code, wanted, got in lines:
        assert (code, got) == ("0", wanted), done.stderr
    assert len({wanted for _, wanted, _ in lines}) == 2 * IMAGES
    print(f"{gateway.version}: gateway {peaks.memory(GATEWAY)} bytes, registry {peaks.memory(REGISTRY)}")
    assert peaks.memory(*CONTAINERS) <= 256 * MEGABYTE


SIZE = 3_000_000
VERSIONS = pytest.mark.parametrize("version", ["1.1", "2"])
RANGES = {
    "0-0": slice(0, 1),
    "0-99": slice(0, 100),
    "100000-2000000": slice(100000, 2000001),
    "1-": slice(1, SIZE),
    "2999999-": slice(2999999, SIZE),
    "-1": slice(SIZE - 1, SIZE),
    "-70000": slice(SIZE - 70000, SIZE),
    "-9000000": slice(0, SIZE),
    "5-9000000": slice(5, SIZE),
}
UNSHARED_HEADERS = {"date", "connection", "server", "x-content-type-options", "accept-ranges"}
"""Headers that only gateway or registry sends; nginx sends Accept-Ranges with a whole blob, and not with a range."""


@dataclass(frozen=True)
class Blob:
    """A pushed blob: its bytes, its digest, and its path."""

    content: bytes
    digest: str

    @property
    def target(self) -> str:
        """Return the path from which it is pulled."""
        return f"/v2/ranges/blobs/{self.digest}"


@pytest.fixture(scope="module")
def blob(gateway: Gateway) -> Blob:
    content = os.urandom(SIZE)
    digest = f"sha256:{sha256_of(content)}"
    begun = gateway.request("POST", "/v2/ranges/blobs/uploads/", gateway.authorization("push"))
    location = f"{begun.header('Location')}&digest={digest}"
    assert gateway.request("PUT", location, gateway.authorization("push"), body=content).status == 201
    return Blob(content, digest)


@VERSIONS
@pytest.mark.parametrize("asked", RANGES)
def test_a_range_has_the_requested_bytes(gateway: Gateway, blob: Blob, version: str, asked: str) -> None:
    part = RANGES[asked]
    got = get_and_compare(gateway, blob, version, f"-H 'Range: bytes={asked}'")
    assert (got.version, got.status) == (version, 206)
    assert got.sha256 == sha256_of(blob.content[part])
    assert got.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{SIZE}"


@VERSIONS
def test_several_ranges_come_in_one_answer(gateway: Gateway, blob: Blob, version: str) -> None:
    got = Curl(gateway, "pull", version).get(blob.target, "-H 'Range: bytes=0-9,2999990-'")
    assert got.status == 206
    assert got.headers["content-type"].startswith("multipart/byteranges; boundary=")
    body = gateway.host.run("base64 /tmp/got").stdout
    for part in (slice(0, 10), slice(2999990, SIZE)):
        part_head = f"Content-Range: bytes {part.start}-{part.stop - 1}/{SIZE}\r\n\r\n".encode()
        assert part_head + blob.content[part] + b"\r\n--" in b64decode(body)


@VERSIONS
@pytest.mark.parametrize("asked", [f"{SIZE}-", "9000000-9000001", "5-2"])
def test_an_impossible_range_gets_416_with_the_size(
    gateway: Gateway, blob: Blob, version: str, asked: str
) -> None:
    """The registry 2.8 alone then announces the whole blob in Content-Length, and breaks the connection."""
    got = Curl(gateway, "pull", version).get(blob.target, f"-H 'Range: bytes={asked}'")
    assert got.status == 416
    assert got.headers["content-range"] == f"bytes */{SIZE}"
    assert got.headers["content-type"] == "application/json"
    assert json.loads(gateway.host.read("/tmp/got")) == {
        "errors": [{"code": "RANGE_INVALID", "message": "the blob has no such range"}]
    }
    assert Curl(gateway, "pull").get(blob.target, f"-H 'Range: bytes={asked}'", bare=True).status == 416


@VERSIONS
@pytest.mark.parametrize("same", [True, False], ids=["same", "another"])
def test_if_range_sends_a_range_only_of_the_same_blob(
    gateway: Gateway, blob: Blob, version: str, same: bool
) -> None:
    """With the ETag from a HEAD, which is the registry's own."""
    found = Curl(gateway, "pull", version).get(blob.target, "--head").headers["etag"]
    condition = found if same else '"another"'
    got = get_and_compare(gateway, blob, version, f"-H 'Range: bytes=10-19' -H 'If-Range: {condition}'")
    assert got.status == (206 if same else 200)
    assert got.sha256 == sha256_of(blob.content[10:20] if same else blob.content)


@VERSIONS
def test_an_unchanged_blob_is_not_sent_again(gateway: Gateway, blob: Blob, version: str) -> None:
    etag = Curl(gateway, "pull", version).get(blob.target).headers["etag"]
    got = get_and_compare(gateway, blob, version, f"-H 'If-None-Match: {etag}'")
    assert (got.status, got.size) == (304, 0)


@VERSIONS
@pytest.mark.parametrize("options", ["--head", "--head -H 'Range: bytes=10-19'"])
def test_head_has_the_same_status_and_headers_as_get(
    gateway: Gateway, blob: Blob, version: str, options: str
) -> None:
    found = Curl(gateway, "pull", version).get(blob.target, options)
    bare = Curl(gateway, "pull").get(blob.target, options, bare=True)
    got = Curl(gateway, "pull", version).get(blob.target, options.removeprefix("--head"))
    assert found.status == bare.status == got.status
    assert shared_headers(found) == shared_headers(bare) == shared_headers(got)


@VERSIONS
def test_an_interrupted_download_is_resumed(gateway: Gateway, blob: Blob, version: str) -> None:
    curl, url = Curl(gateway, "pull", version).start(), f"https://{NAME}{blob.target}"
    gateway.host.run(
        f"{curl} '{url}' | head -c 1234567 > /tmp/resumed; test $(stat -c %s /tmp/resumed) = 1234567"
    )
    rest = gateway.host.run(f"{curl} -C - -o /tmp/resumed -w '%{{http_code}} %{{size_download}}' '{url}'")
    assert rest.stdout == f"206 {SIZE - 1234567}"
    assert gateway.host.run("sha256sum < /tmp/resumed").stdout.split()[0] == blob.digest.removeprefix(
        "sha256:"
    )
    over = gateway.host.run(f"{curl} -C - -o /tmp/resumed -w '%{{http_code}}' '{url}'", check=False)
    assert (over.exit_code, over.stdout) == (0, "416")
    assert gateway.host.run("sha256sum < /tmp/resumed").stdout.split()[0] == blob.digest.removeprefix(
        "sha256:"
    )


def get_and_compare(gateway: Gateway, blob: Blob, version: str, options: str) -> SavedAnswer:
    """Get the blob through the gateway; check that body, status and headers are those of the registry alone."""
    got = Curl(gateway, "pull", version).get(blob.target, options)
    bare = Curl(gateway, "pull").get(blob.target, options, bare=True)
    assert (got.status, got.size, got.sha256) == (bare.status, bare.size, bare.sha256)
    assert shared_headers(got) == shared_headers(bare)
    return got


def shared_headers(got: SavedAnswer) -> dict[str, str]:
    """Return the headers that gateway and registry both send."""
    return {name: value for name, value in got.headers.items() if name not in UNSHARED_HEADERS}


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
