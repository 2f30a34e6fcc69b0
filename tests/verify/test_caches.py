"""The pull-through caches: each answers, what is in them is whole, and a second pull asks nothing of the internet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import pytest

from tasks.caches import images
from tasks.caches.facts import VERIFIED, CachedFact, CachedHashFact
from tasks.caches.images import Blob, Cached
from tasks.settings import sizes
from tasks.settings.load import Settings
from tests.verify import cached_pulls, runtimes
from tests.verify.backend import Host
from tests.verify.cached_pulls import Puller
from tests.verify.client import Client
from tests.verify.deployed import Deployed
from tests.verify.engine import Engine

SHOWN = 20


@pytest.fixture(scope="module")
def cached(registry: Host, settings: Settings) -> Cached:
    found = registry.fact(CachedFact, folder=settings.registry_cache_path)
    assert found.deployed, (
        f"{registry.name}: there are no caches in {settings.registry_cache_path}; run make deploy"
    )
    return found


@pytest.fixture(scope="module")
def damaged(
    registry: Host, settings: Settings, cached: Cached, request: pytest.FixtureRequest
) -> Sequence[Blob]:
    """Hash what came since the last time, and remove what is damaged."""
    folder, found = settings.registry_cache_path, list[Blob]()
    for part in images.parts(images.changed(cached, deep=request.config.getoption("deep"))):
        hashed = registry.fact(CachedHashFact, folder=folder, blobs=part)
        found += [each for each in part if hashed.get((each.registry, each.digest)) == "damaged"]
    for blob in found:
        paths = [f"{folder}/{piece.path}" for piece in blob.pieces]
        registry.output(f"rm -f --{' %s' * len(paths)}", *paths)
    newest = max((each.modified for each in cached.files), default=cached.verified)
    registry.output("touch -d %s %s", f"@{newest:.9f}", f"{folder}/{VERIFIED}")
    return found


@pytest.fixture
def engine(caching_host: Host) -> Iterator[Engine]:
    if caching_host.machine.engine == "off":
        pytest.skip(f"{caching_host.name}: Docker Engine is off on purpose ({caching_host.machine.why_off})")
    made = Engine(caching_host)
    yield made
    made.close()


def test_each_cache_answers(mirror: Client, upstream: str, note: Callable[[str], None]) -> None:
    """No upstream is asked: it is no digest, so that a cache refuses it by itself."""
    answer = mirror.request("GET", f"/v2/homelab-registry/probe/blobs/none?ns={upstream}", None)
    if answer.status_code == 403:
        note(
            f"{mirror.where}: this machine is not in registry_cache_networks, so the caches were not asked from here"
        )
        return
    assert answer.status_code == 404 and "no such" in answer.text, (  # noqa: PT018 - one claim
        f"{mirror.where}: no cache of {upstream} answers ({answer.status_code} {answer.text.strip()[:200]}); "
        "run make deploy"
    )


def test_what_is_cached_is_whole(
    upstream: str, registry: Host, cached: Cached, damaged: Sequence[Blob]
) -> None:
    """What came since the last verification is hashed, with `--deep` everything; what is damaged is removed."""
    ours = [each for each in damaged if each.registry == upstream]
    names = {str(image) for blob in ours for image in images.named(cached, blob)}
    assert not ours, (
        f"{registry.name}: damaged in the cache of {upstream}, and removed, so that the next pull brings it whole: "
        f"{', '.join(blob.digest for blob in ours)} (of {', '.join(sorted(names)) or 'no tag'}); check that disk"
    )


def test_which_images_came_through(
    registry: Host, cached: Cached, upstream: str, note: Callable[[str], None]
) -> None:
    came = [each for each in images.pulled(cached) if each.tag.registry == upstream]
    for each in sorted(came, key=lambda each: -each.tag.modified)[:SHOWN]:
        when = f"{dt.datetime.fromtimestamp(each.tag.modified):%Y-%m-%d %H:%M}"
        note(
            f"{registry.name}: {each.tag.image} came through the caches ({sizes.rounded(each.size)}, tag of {when})"
        )
    assert all(each.size > 0 for each in came)


def test_docker_gets_it_from_home_the_second_time(
    engine: Engine, registry: Host, cached: Cached, deployed: Deployed, note: Callable[[str], None]
) -> None:
    through = deployed.docker_mirror(engine.host)
    if through:  # else the run says why, and the settings leave nothing to be done
        _pull_twice(engine, through.names, cached, registry, note)


def test_a_node_gets_it_from_home_the_second_time(
    caching_node: Host,
    registry: Host,
    cached: Cached,
    settings: Settings,
    deployed: Deployed,
    note: Callable[[str], None],
) -> None:
    names = [each.name for each in settings.registry_caches]
    with runtimes.configured(caching_node, deployed, note) as asked:
        for runtime in asked:
            _pull_twice(runtime, names, cached, registry, note)


def _pull_twice(
    puller: Puller,
    upstreams: Sequence[str],
    cached: Cached,
    registry: Host,
    note: Callable[[str], None],
) -> None:
    """Pull an image of each cache that has one for it."""
    chosen = {each: cached_pulls.choose(puller, cached, each) for each in upstreams}
    if none := [name for name, image in chosen.items() if image is None]:
        note(
            f"{puller.host.name}: {puller.title} pulled nothing of {', '.join(none)} to see it come through the caches: "
            f"they have no image of up to {sizes.rounded(cached_pulls.MOST)} that is not there"
        )
    cached_pulls.check(puller, [image for image in chosen.values() if image], registry)
