"""The pull-through caches: each answers, what is in them is whole, and a second pull asks nothing of the internet."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tasks.caches import images
from tasks.caches.facts import VERIFIED, CachedFact, CachedHashFact
from tasks.caches.images import Blob, Cached, Image
from tasks.registry.cache import NAME as CONTAINER
from tasks.settings import sizes
from tasks.settings.load import Settings
from tests.verify.backend import Host, last_line
from tests.verify.client import Client
from tests.verify.deployed import Deployed
from tests.verify.engine import Engine

SMALL = Image("docker.io", "library/hello-world", "latest")
"""What is pulled if nothing was pulled before: ten kilobytes."""

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
    came = [(tag, size) for tag, size in images.pulled(cached) if tag.registry == upstream]
    for tag, size in sorted(came, key=lambda each: -each[0].modified)[:SHOWN]:
        when = f"{dt.datetime.fromtimestamp(tag.modified):%Y-%m-%d %H:%M}"
        note(f"{registry.name}: {tag.image} came through the caches ({sizes.rounded(size)}, tag of {when})")
    assert all(size > 0 for _, size in came)


def test_a_second_pull_asks_nothing_of_the_internet(
    engine: Engine, registry: Host, cached: Cached, deployed: Deployed
) -> None:
    through = deployed.docker_mirror(engine.host)
    if through is None:  # the run says why, and the settings leave nothing to be done
        return
    image = _image(engine, cached, through.names)
    if image is None:
        return
    for _ in range(2):
        began = registry.output("date +%s").strip()
        done = engine.pull(str(image))
        assert done.rc == 0, (
            f"{engine.host.name}: docker pull {image} fails ({last_line(done)}); see docker logs {CONTAINER} on "
            f"{registry.name}"
        )
        engine.run_checked("fix that and run again", "image", "rm", str(image))
    asked = _asked(registry, image, began)
    assert asked, (
        f"{engine.host.name}: docker pull {image} does not come through the caches; run make deploy, and see docker info "
        "there"
    )
    missed = [each["path"] for each in asked if each["cache"] not in {"HIT", "STALE", "UPDATING", ""}]
    assert not missed, (
        f"{registry.name}: a second pull of {image} asks the internet again ({missed[0]}); see whether "
        "registry_cache_limit is too small for it"
    )


def _image(engine: Engine, cached: Cached, names: list[str]) -> Image | None:
    """Return the smallest image in the caches that the engine does not have, or a small one if it has all."""
    came = sorted(
        (each for each in images.pulled(cached) if each[0].registry in names), key=lambda each: each[1]
    )
    known = [tag.image for tag, _ in came] or ([SMALL] if SMALL.registry in names else [])
    return next((each for each in known if engine.docker("image", "inspect", str(each)).rc != 0), None)


def _asked(registry: Host, image: Image, since: str) -> list[dict[str, Any]]:
    """Return what the log has of an image since a time, which it has a second later."""
    end = time.monotonic() + 10
    while True:
        lines = registry.output("docker logs --since %s %s", since, CONTAINER).splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        found = [each for each in entries if f"/{image.repository}/" in each["path"]]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)
