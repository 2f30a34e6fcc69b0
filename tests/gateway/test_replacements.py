"""The registry's container is replaced without a failed request, and what serves comes back by itself."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from tests.fleet.test_convergence import CHANGE, GATEWAY, REGISTRY, recreate_step
from tests.gateway.gateway import Gateway
from tests.gateway.pushing import Client, PushLog, RefusedError, digest, image, missing_or_wrong
from tests.gateway.test_killed_pushes import wait_for

RUN = "/etc/homelab-registry/run"
STORED = "/var/lib/homelab-registry/docker/registry/v2"
REPLACED = recreate_step(REGISTRY, "its CpuShares was changed to 2")
CLIENTS = 6


@contextmanager
def load(gateway: Gateway, name: str) -> Iterator[PushLog]:
    """Push and pull on kept connections while the block runs; no request may fail, and all pushes must be there."""
    log, failed, done = PushLog(), [], threading.Event()

    def work(number: int) -> None:
        client = Client(gateway, log)
        for turn in itertools.count():
            pushed = image(f"{name}/{number}", f"v{turn}", 20_000, 20_000)
            try:
                client.push(pushed)
                for target in (f"manifests/v{turn}", f"blobs/{digest(pushed.blobs[1])}"):
                    client.ask("GET", "GET", f"/v2/{pushed.repository}/{target}", 200)
            except (OSError, HTTPException, RefusedError) as error:
                failed.append(f"{time.strftime('%T')} {type(error).__name__}: {error}")
                client.close()
            if done.is_set():
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield log
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(log.manifests) > CLIENTS
    assert missing_or_wrong(gateway, log) == []


def sockets(gateway: Gateway) -> tuple[str, list[str]]:
    """Return what the link names, and the sockets that are there."""
    names = gateway.host.run(f"readlink {RUN}/registry.sock; cd {RUN}; find . -type s -printf '%f\n'").stdout
    link, *others = names.split()
    return link, sorted(others)


def test_no_request_fails_while_the_registry_is_replaced(gateway: Gateway, soak: bool) -> None:
    """A layer that is under way at each replacement ends with the registry that it began with."""
    before, _ = sockets(gateway)
    with load(gateway, "replaced"):
        for number in range(20 if soak else 3):
            gateway.host.run(f"{CHANGE} {REGISTRY}")
            slow = SlowLayer(gateway, f"replaced/slow{number}")
            ran = gateway.deployment.run()
            assert (ran.exit_code, ran.steps) == (0, [REPLACED]), ran.output
            slow.check()
            after, there = sockets(gateway)
            assert there == [after] != [before]
            before = after


class SlowLayer:
    """A chunk of a layer of which a byte comes every tenth of a second, for five seconds."""

    def __init__(self, gateway: Gateway, repository: str) -> None:
        self.client, self.repository, self.problem = Client(gateway), repository, ""
        self.data = hashlib.shake_256(repository.encode()).digest(50)
        self.place = self.client.begin(repository)
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _send(self) -> None:
        def pieces() -> Iterator[bytes]:
            for number in range(len(self.data)):
                time.sleep(0.1)
                yield self.data[number : number + 1]

        connection = self.client.connection
        headers = {
            "Authorization": self.client.authorization,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(self.data)),
        }
        try:
            connection.request("PATCH", self.place[self.place.index("/v2/") :], pieces(), headers)
            answer = connection.getresponse()
            answer.read()
            self.place = answer.headers.get("Location", "")
            self.problem = "" if answer.status == 202 else str(answer.status)
        except (OSError, HTTPException) as error:
            self.problem = repr(error)

    def check(self) -> None:
        self.thread.join()
        assert self.problem == ""
        self.client.finish(self.repository, self.place, self.data)
        self.client.close()


def test_a_registry_that_gives_less_than_the_one_before_is_not_switched_to(gateway: Gateway) -> None:
    """The one before still answers for a blob that it remembers and that is gone."""
    gateway.host.run(f"rm -rf {STORED}/repositories/*")
    pushed, client = image("stored", "v1", 1_000), Client(gateway)
    client.push(pushed)
    blob = f"/v2/stored/blobs/{digest(pushed.blobs[0])}"
    assert client.exists(blob)
    client.close()
    form = "docker inspect -f '{{.Id}} {{.State.StartedAt}}'"
    before = sockets(gateway), gateway.host.run(f"{form} {REGISTRY}").stdout
    data = f"{STORED}/blobs/sha256/*/{digest(pushed.blobs[0])[7:]}/data"
    gateway.host.run(f"{CHANGE} {REGISTRY} && mv {data} /root/data")
    ran = gateway.deployment.run()
    gateway.host.run(f"mv /root/data {data[:-5]}")
    assert ran.problems == [
        f"[@docker/{gateway.host.name}] could not recreate the container {REGISTRY}: {REGISTRY} gives 404 for {blob} "
        "(the one before goes on serving); fix that and run again"
    ]
    assert (sockets(gateway), gateway.host.run(f"{form} {REGISTRY}").stdout) == before
    assert gateway.deployment.run().steps == [REPLACED]


@pytest.mark.parametrize("how", ["docker restart", "a power cut"])
def test_what_serves_comes_back_by_itself(gateway: Gateway, how: str) -> None:
    """Stale sockets stay behind; each registry makes its own anew, and the link names it as before."""
    link, _ = sockets(gateway)
    if how == "docker restart":
        gateway.host.run(f"docker restart {REGISTRY}")
        wait_for(gateway, lambda answer: answer.status == 200)
        gateway.host.run(f"docker restart {GATEWAY}")
    else:
        gateway.host.container.kill()
        gateway.host.container.start()
        gateway.__dict__.pop("address", None)
        gateway.host.wait_until("docker info", 60, "Docker Engine")
    wait_for(gateway, lambda answer: answer.status == 200)
    assert sockets(gateway) == (link, [link])
    assert gateway.deployment.run().steps == []


FORMER_LAYOUT = f"""
set -- $(docker inspect -f '{{{{.Config.Image}}}} {{{{.Config.User}}}}' {REGISTRY})
docker rm -f {REGISTRY} && rm {RUN}/registry.sock && docker run -d --name {REGISTRY} --label homelab-registry.spec=0 \\
    --network none --user $2 --read-only --tmpfs /tmp -v /etc/homelab-registry/registry:/etc/registry:ro \\
    -v {RUN}:/run/registry -v /var/lib/homelab-registry:/var/lib/registry --entrypoint registry $1 serve /etc/registry/config.yml
"""


def test_a_registry_of_the_former_layout_is_replaced_without_a_failed_request(gateway: Gateway) -> None:
    """It listens in the link's place, and removes that name when it ends."""
    gateway.host.run(FORMER_LAYOUT)
    wait_for(gateway, lambda answer: answer.status == 200)
    with load(gateway, "former"):
        ran = gateway.deployment.run()
        assert ran.steps == [recreate_step(REGISTRY, "it was started in another way")], ran.output
    link, there = sockets(gateway)
    assert there == [link]
    assert gateway.host.run(f"stat -c %a {RUN}").stdout == "700\n"
