"""A full disk during pushes: what each client is shown, that pulls continue, and that pushes succeed once there is space.

The storage is a separate small file system, which allocates pages of 4 KB, so that each of the last pages is used up by
a different step of a push.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.gateway.gateway import NAME, Gateway
from tests.gateway.pushing import (
    Client,
    Image,
    PushLog,
    RefusedError,
    image,
    mismatched_blobs,
    missing_or_wrong,
    push,
    repair_manifests,
)

SMALL = "/srv/small"
MEGABYTE = 1024
FULL_MESSAGE = (
    f"storage is full or cannot be written to; make room in {SMALL} on the registry host and push again"
)
INVALID = {"2.8": (404, "BLOB_UPLOAD_INVALID"), "3.1": (416, "RANGE_INVALID")}
"""The error if only the end of a chunk did not fit: the registry acknowledges the chunk, and finds it too short at
the next request."""


@pytest.fixture(scope="module")
def small(gateway: Gateway) -> Gateway:
    """The registry with 64 MB for its images, and one image in it."""
    gateway.host.run(
        f"mkdir -p {SMALL} && mount -t tmpfs -o size=64m tmpfs {SMALL}; touch {SMALL}/.homelab-registry"
    )
    gateway.deploy(registry_storage_path=SMALL)
    return gateway


@pytest.fixture(scope="module")
def kept(small: Gateway) -> PushLog:
    """An image that was pushed before the disk is full."""
    log = PushLog()
    assert push(small, image("kept", "v1", 3_000_000), log) == ""
    return log


@pytest.fixture(autouse=True)
def _registry_survives_and_keeps_images(small: Gateway, kept: PushLog) -> Iterator[None]:
    """Check that a full disk neither ends nor blocks the registry, and that earlier images stay intact."""
    before = start_times(small)
    yield
    assert missing_or_wrong(small, kept) == []
    assert before == start_times(small)


@contextmanager
def full(gateway: Gateway, left: int = 0) -> Iterator[None]:
    """Leave only this many KB free in the storage while the block runs."""
    gateway.host.run(
        f"free=$(df -k --output=avail {SMALL} | tail -n 1) "
        f"&& head -c $(((free - {left}) * 1024)) /dev/zero > {SMALL}/filler"
    )
    free = gateway.host.run(f"df -k --output=avail {SMALL} | tail -n 1").stdout
    assert int(free) == left
    try:
        yield
    finally:
        gateway.host.run(f"rm -f {SMALL}/filler")


@contextmanager
def no_files_left(gateway: Gateway, left: int = 0) -> Iterator[None]:
    """Leave only this many inodes free in the storage while the block runs."""
    used = int(gateway.host.run(f"df --output=iused {SMALL} | tail -n 1").stdout)
    gateway.host.run(f"mount -o remount,nr_inodes={used + left} {SMALL}")
    try:
        yield
    finally:
        gateway.host.run(f"mount -o remount,nr_inodes=100000 {SMALL}")


def start_times(gateway: Gateway) -> list[str]:
    """Return when each container was started, and how often Docker restarted it; check that none is unhealthy."""
    form = "{{.Name}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Health.Status}}"
    output = gateway.host.run(f"docker inspect -f '{form}' homelab-registry homelab-registry-gateway").stdout
    assert "unhealthy" not in output
    return [line.rpartition(" ")[0] for line in output.splitlines()]


def error_of(refused: RefusedError) -> tuple[int, str, str]:
    """Return status, code and message of an answer in the registry's format."""
    (error,) = json.loads(refused.body)["errors"]
    return refused.status, error["code"], error["message"]


def test_each_step_of_a_push_says_that_storage_is_full(small: Gateway) -> None:
    """Each step succeeds once there is space again."""
    log = PushLog()
    client = Client(small, log)
    pushed = image("steps", "v1", 500_000)
    layer = pushed.blobs[1]
    manifest = image("steps", "v2")
    client.push(manifest)

    def step(act: Callable[[], object]) -> None:
        with full(small), pytest.raises(RefusedError) as refused:
            act()
        assert error_of(refused.value) == (507, "INSUFFICIENT_STORAGE", FULL_MESSAGE), refused.value

    step(lambda: client.begin("steps"))
    place = client.begin("steps")
    step(lambda: client.chunk(place, layer))
    whole = client.chunk(client.begin("steps"), layer)
    step(lambda: client.finish("steps", whole, layer))
    client.push(pushed)
    step(lambda: client.manifest(Image("steps", "v3", manifest.blobs)))
    client.push(Image("steps", "v3", manifest.blobs))
    assert missing_or_wrong(small, log) == []
    assert mismatched_blobs(small, SMALL) == []


def test_pulls_continue_and_pushes_succeed_when_there_is_space_again(small: Gateway, kept: PushLog) -> None:
    before = start_times(small)
    pushed = image("large", "v1", 20_000_000)
    log = PushLog()
    with full(small, 8 * MEGABYTE):
        refused = push(small, pushed, log)
        assert refused.startswith("RefusedError: PATCH of a blob: 507 "), refused
        assert missing_or_wrong(small, kept) == []
        assert missing_or_wrong(small, log) == []
        (name, each), *_ = sorted(kept.blobs)
        pulled = small.crane("pull", f"blob {NAME}/{name}@{each} | sha256sum")
        assert f"sha256:{pulled.stdout.split()[0]}" == each
    assert push(small, pushed, log) == ""
    assert missing_or_wrong(small, log) == []
    assert mismatched_blobs(small, SMALL) == []
    assert start_times(small) == before


def test_crane_shows_the_remedy(small: Gateway) -> None:
    small.host.run("cd /tmp && head -c 3000000 /dev/urandom > layer && tar cf layer.tar layer")
    append = f"append --new_layer /tmp/layer.tar --new_tag {NAME}/crane:v1"
    with full(small):
        failed = small.crane("push", append, check=False)
    assert failed.exit_code == 1
    assert f"INSUFFICIENT_STORAGE: {FULL_MESSAGE}" in failed.stderr
    small.crane("push", append)
    small.crane("push", f"validate --remote {NAME}/crane:v1")


def test_docker_shows_the_status(small: Gateway, soak: bool) -> None:
    """Docker shows it after five attempts in fifty seconds; a sample only checks that it retries."""
    small.host.run("cd /tmp && head -c 3000000 /dev/urandom > d && tar cf d.tar d")
    small.host.run(f"docker import /tmp/d.tar {NAME}/docker:v1")
    small.crane("push", "version")
    docker_push = f"docker --config /root/crane-push push {NAME}/docker:v1"
    with full(small):
        failed = small.host.run(docker_push if soak else f"timeout 8 {docker_push}", check=False)
    assert failed.exit_code == (1 if soak else 124)
    assert "Retrying in" in failed.stdout
    assert failed.stderr.strip() == (
        "received unexpected HTTP status: 507 Insufficient Storage" if soak else ""
    )
    small.host.run(docker_push)
    small.crane("push", f"validate --remote {NAME}/docker:v1")


@pytest.mark.parametrize("step", ["blobs", "manifest"])
def test_pushes_with_only_kilobytes_left(small: Gateway, kept: PushLog, step: str, soak: bool) -> None:
    """Whichever file is the first that does not fit, a repeated push is complete, without a restart."""
    for left in range(0, 84 if step == "blobs" else 20, 4 if soak or step == "manifest" else 16):
        log = PushLog()
        pushed = image(f"last-{step}", f"v{left}", 30_000)
        client = Client(small, log)
        if step == "manifest":
            for blob in pushed.blobs:
                client.blob(pushed.repository, blob)
        with full(small, left):
            refused = try_to_push(small, pushed, log)
            assert missing_or_wrong(small, kept) == []
        print(f"{small.version}, {left} KB at {step}: {refused or 'it fits'}")
        push_again(small, pushed, log)


def test_pushes_without_free_inodes(small: Gateway, kept: PushLog, soak: bool) -> None:
    refusals = 0
    for left in range(0, 60, 1 if soak else 14):
        log, pushed = PushLog(), image("inodes", f"v{left}", 30_000)
        with no_files_left(small, left):
            refusals += bool(try_to_push(small, pushed, log))
            assert missing_or_wrong(small, kept) == []
        push_again(small, pushed, log)
    assert refusals >= 2


def try_to_push(gateway: Gateway, pushed: Image, log: PushLog) -> str:
    """Push an image that may not fit; return the error, or an empty text. Check that acknowledged data is stored."""
    try:
        Client(gateway, log).push(pushed)
    except RefusedError as refused:
        status, code, message = error_of(refused)
        if (status, code) != INVALID[gateway.version]:
            assert (status, code, message) == (507, "INSUFFICIENT_STORAGE", FULL_MESSAGE)
        assert missing_or_wrong(gateway, log) == []
        return str(refused)
    return ""


def push_again(gateway: Gateway, pushed: Image, log: PushLog) -> None:
    """Push the image when there is space, and check that it is complete."""
    repair_manifests(gateway, SMALL)
    assert push(gateway, pushed, log) == ""
    assert missing_or_wrong(gateway, log) == []
    assert mismatched_blobs(gateway, SMALL) == []
