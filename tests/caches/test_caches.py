"""The caches ask the internet once, go on without it, and hold nothing that not everybody may read.

The registries in the internet are a fake of ours, see hub.py.
"""

from __future__ import annotations

import json
import time
import tomllib
from http.client import HTTPException

import pytest

from tasks.remote.templates import fill
from tests import pages
from tests.bench.hosts import BenchHost
from tests.bench.programs import BUILDKIT
from tests.caches import campaigns, clearing
from tests.caches.caches import IPV6, MIRROR, Caches
from tests.caches.client import ACCEPT, Cache, RefusedError
from tests.caches.hub import MEGABYTE, Made
from tests.gateway.gateway import NAME

FIRST = "docker.io/library/first:1"
IMAGES = {
    FIRST: (5 * MEGABYTE, 2048),
    "ghcr.io/owner/app:v1.2": (3 * MEGABYTE,),
    "quay.io/org/team/app:1": (3 * MEGABYTE,),
    "registry.k8s.io/coredns/coredns:v1.12": (3 * MEGABYTE,),
}
FIVE_MB_SECONDS = 2
REFUSAL_SECONDS = 15
"""After that a client should have gone on to the registry itself."""


@pytest.fixture(scope="module")
def images(caches: Caches) -> dict[str, Made]:
    """Images that were pulled through the caches once."""
    made = {each.reference: each for each in caches.hub.add_all(IMAGES)}
    for each in made.values():
        caches.mirror.pull(each)
    return made


@pytest.fixture
def first(images: dict[str, Made]) -> Made:
    return images[FIRST]


def test_the_limit_holds(caches: Caches, soak: bool) -> None:
    """Before all others: nginx looks at what is there only a minute after its start."""
    campaigns.beyond_the_limit(caches, rate=10 if soak else 0)


@pytest.mark.parametrize("name", ["docker.io/library/a", "ghcr.io/o/a", "quay.io/o/a", "registry.k8s.io/a"])
def test_each_registry_is_asked_once(caches: Caches, name: str) -> None:
    image = caches.hub.add(f"{name}:1", MEGABYTE, 4096)
    caches.hub.reset()
    for asked in (caches.mirror, Cache(**vars(caches.mirror) | {"prefix": True}), caches.registry):
        pulled = asked.pull(image)
        assert pulled.digest == image.digest
    counters = caches.hub.counters(image.upstream)
    assert counters.manifest_gets == 2  # the index and the manifest
    assert counters.cdn_refused == 0  # it refuses what was meant for the registry
    assert MEGABYTE < counters.cdn_bytes <= 1.02 * pulled.size


BUILD = """
mkdir -p /tmp/build && cd /tmp/build && printf 'FROM @A@\\nCOPY --from=@B@ / /b/\\n' > Dockerfile
buildkitd --config buildkitd.toml --oci-worker-snapshotter=native > log 2>&1 &
trap "kill $!" EXIT
until buildctl debug workers > /dev/null 2>&1; do sleep 0.2; done
for number in 1 2; do
    buildctl prune --all > /dev/null
    buildctl build --frontend dockerfile.v0 --local context=. --local dockerfile=. --output type=tar,dest=image.tar
done
"""


def test_buildkit_asks_the_caches_with_the_file_of_the_workstation_kit(caches: Caches) -> None:
    """Of two registries: the caches know by the query which one is meant."""
    host, deployment = caches.gateway.host, caches.gateway.deployment
    images = [
        caches.hub.add(f"{name}:1", 4096) for name in ("docker.io/library/built", "ghcr.io/owner/built")
    ]
    caches.hub.reset()
    host.give(*BUILDKIT)
    made = (deployment.kit()[0] / "buildkitd.default.toml").read_text()
    by_hand = tomllib.loads(pages.block("docs/caches.md", '[registry."docker.io"]'))["registry"]
    assert by_hand.items() <= tomllib.loads(made)["registry"].items()
    host.write("/tmp/build/buildkitd.toml", made)
    host.run(fill(BUILD, A=images[0].reference, B=images[1].reference))
    for image in images:
        counters = caches.hub.counters(image.upstream)
        assert (counters.manifest_gets, counters.cdn_refused) == (
            2,
            0,
        )  # the index and the manifest, and not again
        assert 4096 < counters.cdn_bytes < 2 * 4096


def test_without_a_registry_s_name_it_is_docker_hub(caches: Caches, first: Made) -> None:
    """As Docker's `registry-mirrors` asks."""
    answer = caches.mirror.get(f"/v2/{first.repository}/manifests/{first.tag}")
    assert (answer.status, answer.digest) == (200, first.digest)


def test_a_range_is_a_part_of_the_blob(caches: Caches, first: Made) -> None:
    blob = caches.mirror.path(first, f"blobs/{first.layers[1]}")
    whole, part = caches.mirror.get(blob), caches.mirror.get(blob, Range="bytes=100-199")
    assert (part.status, part.content) == (206, whole.content[100:200])
    head = caches.mirror.get(blob, "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(whole.size))


def test_clients_at_once_are_one_download(caches: Caches, soak: bool) -> None:
    campaigns.at_once(caches, 500 if soak else 30, clients=8, rate=20)


def test_warm_pulls_by_tag_are_not_counted(caches: Caches, first: Made, soak: bool) -> None:
    caches.let_tags_expire()
    caches.hub.reset()
    for _ in range(1000 if soak else 50):
        assert caches.mirror.pull(first).digest == first.digest
    counters = caches.hub.counters()
    assert (counters.manifest_gets, counters.blobs, counters.cdn_requests) == (0, 0, 0)
    assert counters.manifest_heads > 0


def test_they_start_without_the_internet(caches: Caches, images: dict[str, Made], soak: bool) -> None:
    large = caches.hub.add("docker.io/library/large:1", (500 if soak else 30) * MEGABYTE)
    if soak:
        caches.deploy(registry_cache_limit="2GB")
    caches.mirror.pull(large)
    caches.let_tags_expire()
    with caches.hub.behaving(down=True, names_down=True):
        caches.restart()
        assert caches.mirror.pull(large).first < 1, "its tag's manifest counts: the upstream is asked in vain"
        for each in images.values():
            for reference in (each.tag, each.digest):
                pulled = caches.mirror.pull(each, reference)
                assert (pulled.digest, pulled.seconds < FIVE_MB_SECONDS) == (each.digest, True), pulled
        assert caches.registry.pull(images[FIRST]).digest == images[FIRST].digest
    caches.restart()  # or they would not ask for a while


FAILURES: dict[str, dict[str, object]] = {
    "429": {"status": {"manifests": 429}},
    "403": {"status": {"manifests": 403}},
    "404": {"status": {"manifests": 404}},
    "500": {"status": {"manifests": 500}},
    "503": {"status": {"manifests": 503}},
    "portal": {"status": {"manifests": 200, "tokens": 200, "blobs": 200}},
    "tokens 429": {"status": {"tokens": 429}},
    "tokens 503": {"status": {"tokens": 503}},
    "blobs 403": {"status": {"blobs": 403}},
    "CDN 503": {"status": {"cdn": 503}},
    "silent": {"silent": {"manifests": True}},
    "silent tokens": {"silent": {"tokens": True}},
    "down": {"down": True},
    "no names": {"names_down": True, "down": True},
    "another certificate": {"self_signed": True},
}


@pytest.fixture(scope="module")
def expired(caches: Caches) -> Made:
    """An image of 5 MB that was pulled, and whose tag has to be asked for again. No failure changes that."""
    image = caches.hub.add("docker.io/library/expired:1", 5 * MEGABYTE)
    caches.mirror.pull(image)
    caches.let_tags_expire()
    return image


@pytest.mark.parametrize("failure", FAILURES)
def test_what_is_cached_goes_on_and_the_rest_says_whose_answer_it_was(
    caches: Caches, expired: Made, failure: str
) -> None:
    unknown = caches.hub.add(f"docker.io/library/{failure.lower().replace(' ', '-')}:1", MEGABYTE)
    with caches.hub.behaving(**FAILURES[failure]):
        for reference in (expired.digest,) if failure == "404" else (expired.tag, expired.digest):
            pulled = caches.mirror.pull(expired, reference)
            assert (pulled.digest, pulled.seconds < FIVE_MB_SECONDS) == (expired.digest, True), pulled
        with pytest.raises(RefusedError) as refused:
            caches.mirror.pull(unknown)
        assert refused.value.seconds < REFUSAL_SECONDS
        (error,) = json.loads(refused.value.body)["errors"]
        assert "docker.io" in error["message"]
    caches.restart()  # or they would not ask one that did not answer for a while
    assert caches.mirror.pull(unknown).digest == unknown.digest


def test_they_ask_again_by_themselves(caches: Caches, soak: bool) -> None:
    image = caches.hub.add("quay.io/org/again:1", MEGABYTE)
    with caches.hub.behaving(down=True), pytest.raises(RefusedError):
        caches.mirror.pull(image)
    end = time.monotonic() + REFUSAL_SECONDS
    while soak:
        try:
            assert caches.mirror.pull(image).digest == image.digest
            break
        except RefusedError:
            assert time.monotonic() < end


def test_a_moved_tag_is_seen(caches: Caches) -> None:
    before = caches.hub.add("ghcr.io/owner/moving:latest", MEGABYTE)
    assert caches.mirror.pull(before).digest == before.digest
    after = caches.hub.add(before.reference, MEGABYTE, seed="another")
    assert after.digest != before.digest
    caches.let_tags_expire()
    assert caches.mirror.pull(after).digest == after.digest
    assert caches.mirror.pull(before, before.digest).digest == before.digest


def test_a_cdn_without_ranges(caches: Caches) -> None:
    image = caches.hub.add("docker.io/library/whole:1", 20 * MEGABYTE)
    with caches.hub.behaving(ignore_range=True):
        assert caches.mirror.pull(image).digest == image.digest
    assert {each.digest for each in caches.mirror.pull_at_once(image, 4)} == {image.digest}


def test_a_download_that_breaks_off_leaves_nothing_wrong(caches: Caches) -> None:
    image = caches.hub.add("docker.io/library/cut:1", 20 * MEGABYTE)
    with (
        caches.hub.behaving(cut=MEGABYTE),
        pytest.raises((OSError, HTTPException, RefusedError)),
    ):
        caches.mirror.pull(image)
    assert caches.mirror.pull(image).digest == image.digest


def test_killed_while_filling_they_serve_nothing_wrong(caches: Caches, soak: bool) -> None:
    # nginx knows what is on the disk only a minute after each start, and makes no room of it before.
    if soak:
        clearing.clear(caches)
    campaigns.killed(caches, 50 if soak else 2)


@pytest.mark.parametrize("name", ["docker.io/me/secret", "ghcr.io/me/secret", "quay.io/me/secret"])
def test_a_private_image_is_nobody_s(caches: Caches, name: str) -> None:
    """Although the caches have the account that may read it: it lifts the limit only."""
    private = caches.hub.add(f"{name}:1", MEGABYTE, private=True)
    caches.hub.reset()
    for asked in (caches.mirror, caches.registry):
        for reference in (private.tag, private.digest):
            with pytest.raises(RefusedError) as refused:
                asked.pull(private, reference)
            assert refused.value.status in {401, 403, 404}
    assert caches.hub.counters(private.upstream).account_gets == 0


def test_an_account_lifts_the_limit(caches: Caches) -> None:
    image = caches.hub.add("docker.io/library/limited:1", MEGABYTE)
    caches.hub.reset()
    with caches.hub.behaving(limit=0):
        assert caches.mirror.pull(image).digest == image.digest
    assert caches.hub.counters().account_gets == 2


def test_names_of_ours_are_never_asked_in_the_internet(caches: Caches) -> None:
    image = caches.hub.add("docker.io/library/ours:1", MEGABYTE)
    login = {"Authorization": caches.gateway.authorization("pull")}
    caches.hub.reset()
    for path in (
        f"/v2/apps/web/manifests/1?ns={NAME}",
        f"/v2/{NAME}/apps/web/manifests/1",
        "/v2/x/manifests/1?ns=127.0.0.1",
    ):
        assert caches.mirror.get(path).status in {400, 403, 404}, path
    for path in ("/v2/library/ours/manifests/1", "/v2/library/ours/manifests/1?ns=docker.io"):
        assert caches.gateway.request("GET", path, login["Authorization"]).status == 404, path
    assert caches.hub.asked_for() == []
    assert {NAME, MIRROR, "homelab.local"}.isdisjoint(caches.hub.unknown_names())
    assert caches.mirror.pull(image).digest == image.digest
    assert caches.hub.asked_for() == [image.name]


def test_a_poisoned_registry_is_not_believed(caches: Caches) -> None:
    """Nobody is handed another content as what it is not, and once the registry is itself again, neither are the caches."""
    blob, manifest = (
        caches.hub.add(f"docker.io/library/poison-{part}:1", MEGABYTE) for part in ("blob", "manifest")
    )
    campaigns.poisoned(caches, blob, manifest)


def test_a_blob_that_is_damaged_on_the_disk_is_asked_for_again(caches: Caches) -> None:
    image = caches.hub.add("docker.io/library/damaged:1", 20 * MEGABYTE)
    caches.mirror.pull(image)
    campaigns.damage(caches, image.layers[0])
    campaigns.pull_once_checked(caches, image)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_pushed_into_them(caches: Caches, method: str) -> None:
    path = "/v2/owner/app/blobs/uploads/"
    assert caches.mirror.get(path, method).status in {403, 404, 405}
    below = caches.gateway.request(
        method, "/v2/ghcr.io/owner/app/blobs/uploads/", caches.gateway.authorization("push")
    )
    assert below.status in {403, 405}
    assert json.loads(below.body)["errors"][0]["code"] == "UNSUPPORTED"


def test_below_the_registry_s_name_they_want_its_login(caches: Caches, first: Made) -> None:
    path = f"/v2/{first.name}/manifests/{first.tag}"
    assert caches.gateway.request("GET", path).status == 401
    for role in ("pull", "push", "admin"):
        answer = caches.gateway.request("GET", path, caches.gateway.authorization(role), {"Accept": ACCEPT})
        assert (answer.status, answer.header("docker-content-digest")) == (200, first.digest)


ASK = """
import http.client, socket, ssl, sys
name, address, source, path = sys.argv[1:]
plain = socket.create_connection((address, 443), 10, (source, 0) if source else None)
context = ssl._create_unverified_context()
connection = http.client.HTTPConnection(name)
connection.sock = context.wrap_socket(plain, server_hostname=name)
connection.request("GET", path, headers={"Accept": "*/*"})
print(connection.getresponse().status)
"""


def test_only_the_networks_that_may_read(caches: Caches, first: Made) -> None:
    """Neither an address outside of them, nor what comes by IPv6, from wherever: it has the bridge's own address."""
    host, upstream, outside = caches.gateway.host, caches.hub.host, "198.51.100.9"
    upstream.run(f"ip address replace {outside}/32 dev eth0")
    host.run(f"ip route replace {outside}/32 via {caches.hub.address}")
    path = f"/v2/{first.repository}/manifests/{first.tag}"

    def status(asking: BenchHost, name: str, address: str, source: str = "") -> str:
        return asking.run(f"python3 - {name} {address} '{source}' {path}", stdin=ASK).stdout.strip()

    assert status(upstream, MIRROR, host.address) == "200"
    assert status(upstream, MIRROR, host.address, outside) == "403"
    assert status(upstream, NAME, host.address, outside) == "401"  # the registry itself is for all who log in
    for client in (host, upstream):
        assert status(client, MIRROR, IPV6) == "403"
        assert status(client, NAME, IPV6) == "401"


@pytest.mark.soak
@pytest.mark.usefixtures("soak")
def test_the_registry_s_own_pushes_never_see_a_full_disk(caches: Caches) -> None:
    campaigns.beside_pushes(caches, rate=40, keep_free=600)


@pytest.mark.usefixtures("images")
def test_they_are_cleared_while_they_serve_and_verified(caches: Caches) -> None:
    images = clearing.clear_everything(caches)
    clearing.clear_one(caches, images)
    clearing.pull_with_docker(caches)
    clearing.verify(caches, images)
