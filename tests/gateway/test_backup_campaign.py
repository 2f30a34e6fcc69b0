"""The long campaigns of backups: under constant pushes, which they do not slow down, and killed anywhere."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles

import pytest

from tests.fleet.test_backup import BACKUP, RESTORE, backups, whole_tags
from tests.gateway.gateway import Gateway
from tests.gateway.pushing import Client, RefusedError, digest, image

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("soak")]

STORAGE = "/var/lib/homelab-registry"
USB = "/mnt/usb/images"
ROUNDS = 42
KILLS = ("rsync", "tar", "cp")
SECONDS = 420.0
"""How long each campaign may take."""


@dataclass
class Pushes:
    """What clients pushed: the seconds of each push by what ran beside it, and what the registry refused."""

    beside: str = "nothing"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    number: int = 0


def push_until(gateway: Gateway, pushes: Pushes, end: threading.Event, name: str) -> None:
    client = Client(gateway)
    while not end.wait(0.05):
        pushes.number += 1
        each = image(f"apps/{name}", f"v{pushes.number % 40}", 20_000 + pushes.number, 30_000)
        beside, begun = pushes.beside, time.monotonic()
        try:
            client.push(each)
        except RefusedError as refused:
            pushes.refused.append(str(refused))
            client.close()
            client = Client(gateway)
            continue
        if beside == pushes.beside:
            pushes.seconds.setdefault(beside, []).append(time.monotonic() - begun)
        pushes.tags[each.repository, each.tag] = digest(each.manifest)
    client.close()


@contextmanager
def pushing(gateway: Gateway, clients: int = 2) -> Iterator[Pushes]:
    """Push until the block ends."""
    pushes, end = Pushes(), threading.Event()
    threads = [
        threading.Thread(target=push_until, args=(gateway, pushes, end, f"client-{number}"))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield pushes
    finally:
        end.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def backed_up(gateway: Gateway) -> Gateway:
    """A registry with another disk for its backups."""
    gateway.host.run(
        "apt-get -q update >/dev/null; apt-get -q -y install rsync >/dev/null; "
        "mkdir -p /mnt/usb && mount -t tmpfs none /mnt/usb"
    )
    gateway.deploy(registry_backup_folder=USB)
    return gateway


def back_up(gateway: Gateway) -> None:
    ran = gateway.deployment.run(deploy=BACKUP)
    assert ran.exit_code == 0, ran.output


def test_backups_under_pushes(backed_up: Gateway) -> None:
    """Pushes are measured in turns: with a backup, and for as long without."""
    begun, rounds = time.monotonic(), 0
    with pushing(backed_up) as pushes:
        while rounds < ROUNDS and time.monotonic() - begun < SECONDS:
            at = time.monotonic()
            pushes.beside = "backup"
            back_up(backed_up)
            pushes.beside = "nothing"
            took = time.monotonic() - at
            assert whole_tags(backed_up.host, f"{USB}/{backups(backed_up.host, USB)[-1]}") > 0
            time.sleep(took)  # the other half of the turn, not a condition
            rounds += 1
    figures = {
        beside: (len(taken), round(median(taken) * 1000), round(quantiles(taken, n=100)[98] * 1000))
        for beside, taken in pushes.seconds.items()
    }
    print(f"\n{backed_up.version}: {rounds} backups, {pushes.number} pushes, refused {len(pushes.refused)}")
    print(f"pushes, median and 99th percentile in ms: {figures}; refused: {set(pushes.refused)}")
    _, middle, last = figures["backup"]
    _, middle_without, last_without = figures["nothing"]
    assert middle - middle_without <= 100
    assert last - last_without <= 100
    last_one = f"{USB}/{backups(backed_up.host, USB)[-1]}"
    count = whole_tags(backed_up.host, last_one)
    back_up(backed_up)
    backed_up.host.run(f"docker stop homelab-registry && rm -rf {STORAGE}/docker && mkdir {STORAGE}/docker")
    backed_up.host.run(f"chown --reference={STORAGE} {STORAGE}/docker; docker start homelab-registry")
    done = backed_up.deployment.run("-y", "--data", "registry_restore=latest", deploy=RESTORE)
    assert done.exit_code == 0, done.output
    assert whole_tags(backed_up.host, STORAGE) >= count
    client = Client(backed_up)
    if backed_up.version == "3.1":  # what 3.1 wrote, the 2.8 of Debian's packages serves
        backed_up.source = {}
        backed_up.deploy()
    for (repository, tag), expected in pushes.tags.items():
        _, body = client.ask("GET", "GET", f"/v2/{repository}/manifests/{tag}", 200)
        assert digest(body) == expected
    client.close()


def test_killed_anywhere(backed_up: Gateway) -> None:
    """The controller dies at each step, or programs of the registry host do at any time: the last backup stays whole."""
    host, begun = backed_up.host, time.monotonic()
    chance = random.Random(18)  # noqa: S311
    back_up(backed_up)
    last = backups(host, USB)[-1]
    commands = len(backed_up.deployment.run(deploy=BACKUP).commands)
    points = [(step, "") for step in range(1, commands + 1)] + [(0, program) for program in KILLS * 3]
    killed, count = 0, 0
    with pushing(backed_up, 1):
        for step, program in points:
            if time.monotonic() - begun > SECONDS:
                break
            last = backups(host, USB)[-1]
            count = whole_tags(host, f"{USB}/{last}")
            if program:
                wait = f"for i in $(seq 200); do pkill -KILL -x {program} && break; sleep 0.05; done"
                delay = chance.uniform(0, 0.3)
                host.run(f"sh -c 'sleep {delay}; {wait}' >/dev/null 2>&1 &")
                ran = backed_up.deployment.run(deploy=BACKUP)
            else:
                ran = backed_up.deployment.run(deploy=BACKUP, kill_after=step)
            killed += ran.exit_code != 0
            if last in backups(host, USB):
                assert whole_tags(host, f"{USB}/{last}") == count
            else:
                assert whole_tags(host, f"{USB}/{backups(host, USB)[-1]}") >= count
            back_up(backed_up)
            assert whole_tags(host, f"{USB}/{backups(host, USB)[-1]}") >= count
    print(f"\n{backed_up.version}: {killed} of {len(points)} points killed a backup, of {commands} commands")
    assert host.run(f"ls -A {STORAGE}").stdout.split() == [".homelab-registry", "docker"]
