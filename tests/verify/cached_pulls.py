"""Pulls through the caches, done twice by one program: the second time nothing is asked of the internet."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from tasks.caches import images
from tasks.caches.images import Cached, Image
from tasks.registry.cache import NAME as CONTAINER
from tasks.settings.caches import HUB
from tests.verify.backend import Host, last_line

SMALL = Image(HUB, "library/hello-world", "latest")
"""What is pulled of Docker Hub if nothing of it was pulled before: ten kilobytes."""

MOST = 200_000_000
"""Bytes of an image that is pulled to see whether it comes through the caches: every runtime pulls it twice."""

FLUSHED = 1.5
"""Seconds after which the caches' log has a request (`flush=1s` in cache.conf.j2)."""

PATIENCE = 10
"""Seconds after which nothing is expected there any more."""

NEXT_SECOND = "now=$(date +%s); while [ $(date +%s) = $now ]; do sleep 0.05; done; date +%s"
"""The log has whole seconds: what is asked from the next one on is told apart from what was asked before."""

FRESH = {"HIT", "STALE", "UPDATING", ""}
"""How an answer came about for which nothing was downloaded; empty for what nginx does not cache, such as a HEAD."""

REFUSALS = {
    404: "does not give everybody",
    429: "has had too many requests, and does not give",
    503: "does not answer, or sends something else, for",
}
"""What a registry in the internet did, by the status at which clients go on to it themselves (answers.js)."""


class Puller(Protocol):
    """What pulls images on a host."""

    host: Host
    title: str

    def pull_without_login(self, reference: str) -> Any:
        """Pull an image that everybody may read."""

    def remove(self, reference: str) -> Any:
        """Remove an image that was pulled."""

    def has(self, reference: str, signs: Collection[str]) -> bool:
        """Return whether a pull and a removal would touch an image that is there: one with these names or digests."""


def choose(puller: Puller, cached: Cached, upstream: str) -> Image | None:
    """Return the smallest cached image of a registry that is not there yet, None for none.

    A removal through the CRI takes an image with all its names, so its digests count too.
    """
    known = {
        each.tag.image: {f"{upstream}/{each.tag.image.repository}", *each.digests}
        for each in sorted(images.pulled(cached), key=lambda each: each.size)
        if each.tag.registry == upstream and each.size <= MOST
    }
    if upstream == HUB and not known:
        known[SMALL] = {SMALL.repository.rpartition("/")[2]}
    return next((image for image, signs in known.items() if not puller.has(str(image), signs)), None)


def check(puller: Puller, chosen: Sequence[Image], registry: Host) -> None:
    """Pull the images twice; `AssertionError` if they do not come through the caches, or not from disk then."""
    if not chosen:
        return
    began = list[int]()
    for _ in range(2):
        began.append(int(registry.output(NEXT_SECOND)))
        for image in chosen:
            done = puller.pull_without_login(str(image))
            assert done.rc == 0, _why(
                puller, image, _asked(registry, image, began[-1]), registry, last_line(done)
            )
        for image in chosen:
            done = puller.remove(str(image))
            assert done.rc == 0, (
                f"{puller.host.name}: {image} could not be removed from {puller.title} ({last_line(done)}); "
                "remove it by hand"
            )
    for image in chosen:
        asked = _asked(registry, image, began[0])
        second = [each for each in asked if _time(each) >= began[1]]
        assert second, (
            f"{puller.host.name}: {puller.title} does not pull {image} through the caches; run make deploy"
        )
        assert not _refused(asked), _why(puller, image, asked, registry, "it pulled from the internet")
        missed = [each["path"] for each in second if each["cache"] not in FRESH]
        assert not missed, (
            f"{registry.name}: a second pull of {image} by {puller.title} on {puller.host.name} asks the internet again "
            f"({missed[0]}); see whether registry_cache_limit is too small for it"
        )


def _why(puller: Puller, image: Image, asked: Sequence[dict[str, Any]], registry: Host, said: str) -> str:
    """Return why an image did not come through the caches, from what they were asked and what the runtime said."""
    where = f"{puller.host.name}: {puller.title}"
    if not asked:
        return f"{where} cannot pull {image}, and did not ask the caches ({said}); run make deploy"
    if refused := _refused(asked):
        return (
            f"{registry.name}: {image.registry} {REFUSALS.get(refused[-1], f'leads to {refused[-1]}')} {image}, so that "
            f"{puller.title} on {puller.host.name} did not get it through the caches ({said}); see whether "
            f"{registry.name} reaches {image.registry}, and run again"
        )
    return f"{where} cannot pull {image} ({said}); see docker logs {CONTAINER} on {registry.name}"


def _refused(asked: Sequence[dict[str, Any]]) -> list[int]:
    """Return the statuses of refused requests for content; a signature or a list of referrers may be missing."""
    content = [each for each in asked if "/referrers/" not in each["path"] and ".sig" not in each["path"]]
    return [each["status"] for each in content if each["status"] >= 400]


def _time(entry: dict[str, Any]) -> float:
    return dt.datetime.fromisoformat(entry["time"]).timestamp()


def _asked(registry: Host, image: Image, since: int) -> list[dict[str, Any]]:
    """Return what the caches' log has of an image since a time, in whole seconds since 1970."""
    ready, end = time.monotonic() + FLUSHED, time.monotonic() + PATIENCE
    while True:
        lines = registry.output("docker logs --since %s %s", str(since), CONTAINER).splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        found = [each for each in entries if f"/{image.repository}/" in each["path"] and _time(each) >= since]
        if time.monotonic() > (ready if found else end):
            return found
        time.sleep(0.2)
