"""What the caches are put through, in full or as a sample."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.caches.caches import CONTAINER, LIMIT, STORAGE, Caches
from tests.caches.client import BROKEN, WrongDigestError
from tests.caches.hub import MEGABYTE, Made
from tests.gateway.pushing import image, push


def at_once(caches: Caches, megabytes: int, clients: int, rate: int) -> None:
    """Have clients pull an image at once; the internet gives `rate` MB/s in all."""
    alone, shared = (
        caches.hub.add(f"docker.io/library/{name}-{megabytes}:1", megabytes * MEGABYTE)
        for name in ("alone", "shared")
    )
    if 2 * megabytes * MEGABYTE > LIMIT:
        caches.deploy(registry_cache_limit=f"{3 * megabytes}MB")
    with caches.hub.behaving(rate=rate * MEGABYTE):
        one = caches.mirror.pull(alone)
        caches.hub.reset()
        all_of_them = caches.mirror.pull_at_once(shared, clients)
        sent = caches.hub.counters().cdn_bytes
    slowest = max(each.seconds for each in all_of_them)
    first = max(each.first for each in all_of_them)
    print(
        f"{clients} clients, {megabytes} MB at {rate} MB/s: upstream sent {sent / one.size:.4f} x, one client {one.seconds:.2f} s, "
        f"the slowest {slowest:.2f} s, its first byte after {first:.2f} s"
    )
    assert {each.digest for each in all_of_them} == {shared.digest}
    assert sent <= 1.02 * one.size
    # Who waits for another's download looks twice a second whether it is there (ngx_http_file_cache.c): five answers.
    assert slowest <= (1.2 * one.seconds if megabytes >= 500 else one.seconds + 2.5)
    assert first < 1


def killed(caches: Caches, times: int) -> None:
    """Kill the caches (SIGKILL) while clients fill them, and check all that is served then and later."""
    wrong: list[str] = []
    served = 0
    names = {f"docker.io/library/killed-{number}:1": (12 * MEGABYTE, MEGABYTE) for number in range(times)}
    images = caches.hub.add_all(names)

    def pull(filled: Made) -> bool:
        try:
            caches.mirror.pull(filled)
        except WrongDigestError as error:
            wrong.append(str(error))
        except BROKEN:
            return False
        return True

    with ThreadPoolExecutor(3) as pool, caches.hub.behaving(rate=10 * MEGABYTE):
        for number, each in enumerate(images):
            filling = [pool.submit(pull, each) for _ in range(2)]
            caches.hub.reset()
            share = (number * 7 % times + 0.5) / times  # of the image, when it happens
            while caches.hub.counters().cdn_bytes < share * 13 * MEGABYTE and not all(
                one.done() for one in filling
            ):
                pass
            kill(caches)
            served += sum(one.result() for one in filling)
    for each in images:
        assert caches.mirror.pull(each).digest == each.digest
    print(
        f"{times} kills while filling: {served} of {2 * times} pulls went on to their end, {len(wrong)} wrong digests"
    )
    assert wrong == []
    assert served < 2 * times, "no pull was interrupted"


def kill(caches: Caches) -> None:
    """Kill the caches' first process, and start the container: Docker Engine would wait ever longer before each start."""
    caches.gateway.host.run(
        f"kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' {CONTAINER}); docker restart -t 0 {CONTAINER}"
    )
    caches.wait()


def beyond_the_limit(caches: Caches, rate: int) -> None:
    """Pull three times the limit; they stay below it, but for ten seconds of the line of `rate` MB/s (0: any)."""
    names = {
        f"docker.io/library/much-{number}:1": (20 * MEGABYTE,)
        for number in range(3 * LIMIT // (20 * MEGABYTE))
    }
    images = caches.hub.add_all(names)
    with caches.hub.behaving(rate=rate * MEGABYTE), sampled(caches.used) as seen:
        for each in images:
            caches.mirror.pull(each)
    end = time.monotonic() + 10
    while (left := caches.used()) > LIMIT and time.monotonic() < end:
        time.sleep(0.2)
    print(
        f"{3 * LIMIT // MEGABYTE} MB at {rate} MB/s: at most {max(seen) / MEGABYTE:.0f} MB, then {left / MEGABYTE:.0f} MB"
    )
    assert left <= LIMIT
    if rate:
        assert max(seen) <= LIMIT + 10 * rate * MEGABYTE
    caches.hub.reset()
    caches.mirror.pull(images[-1])  # what was used last is there
    assert caches.hub.counters().cdn_bytes == 0


def beside_pushes(caches: Caches, rate: int, keep_free: int) -> None:
    """Pull more than the disk has at `rate` MB/s, while someone pushes: `keep_free` MB are for them."""
    caches.deploy(registry_cache_limit="1TB", registry_cache_keep_free=f"{keep_free}MB")
    pulls = caches.free() // (50 * MEGABYTE) + 10
    names = {f"docker.io/library/full-{number}:1": (50 * MEGABYTE,) for number in range(pulls)}
    images = caches.hub.add_all(names)
    pushed: list[str] = []
    ended = threading.Event()

    def push_all() -> None:
        while not ended.wait(1):
            pushed.append(push(caches.gateway, image(f"pushed/{len(pushed)}", "1", 2 * MEGABYTE)))

    with (
        caches.hub.behaving(rate=rate * MEGABYTE),
        sampled(caches.free) as free,
        ThreadPoolExecutor(1) as pool,
    ):
        pushing = pool.submit(push_all)
        try:
            for each in images:
                caches.mirror.pull(each)
        finally:
            ended.set()
            pushing.result()
    end = time.monotonic() + 15
    while (left := caches.free()) < keep_free * MEGABYTE and time.monotonic() < end:
        time.sleep(0.2)
    print(
        f"{50 * pulls} MB at {rate} MB/s: at least {min(free) / MEGABYTE:.0f} MB free, then {left / MEGABYTE:.0f} MB of "
        f"{keep_free} MB; {len(pushed)} pushes"
    )
    assert len(pushed) > 10
    assert [each for each in pushed if each] == []
    assert left >= keep_free * MEGABYTE


@contextmanager
def sampled(measure: Callable[[], int]) -> Iterator[list[int]]:
    """Measure again and again while the block runs."""
    seen, ended = [measure()], threading.Event()

    def look() -> None:
        while not ended.wait(0.3):
            seen.append(measure())

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield seen
        finally:
            ended.set()
            looking.result()


def poisoned(caches: Caches, blob: Made, manifest: Made) -> None:
    """Send other bytes for a layer of one image and for the index of another."""
    with caches.hub.behaving(wrong={blob.layers[0]: True, manifest.digest: True}):
        for each in (blob, manifest):
            for _ in range(2):
                try:
                    pulled = caches.mirror.pull(each)
                except (WrongDigestError, *BROKEN):
                    continue
                raise AssertionError(f"{each.reference} is not what it is announced as: {pulled}")
    assert caches.mirror.pull(manifest).digest == manifest.digest
    pull_once_checked(caches, blob)


def damage(caches: Caches, digest: str) -> None:
    """Change a byte of a cached blob's second piece on the disk."""
    changed = caches.gateway.host.run(
        f"for each in $(grep -rlF 'blob {digest} bytes=4194304-' {STORAGE}/images); do "
        "printf '\\377' | dd of=$each bs=1 seek=900000 conv=notrunc 2>/dev/null; echo $each; done"
    )
    assert len(changed.stdout.split()) == 1


def pull_once_checked(caches: Caches, image: Made) -> None:
    """Pull an image of which something wrong is cached, once the caches have compared it with its digest."""
    end, wrong = time.monotonic() + 20, 0
    while True:
        try:
            assert caches.mirror.pull(image).digest == image.digest
            break
        except WrongDigestError:
            wrong += 1
            assert time.monotonic() < end
            time.sleep(0.2)
    assert wrong, "nothing wrong was cached"
