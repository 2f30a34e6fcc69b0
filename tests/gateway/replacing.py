"""What tests of replacements need: clients that push all the time, a layer that takes long, a registry of former times."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from tests.fleet.test_convergence import REGISTRY
from tests.gateway.gateway import Gateway
from tests.gateway.pushing import Client, PushLog, RefusedError, digest, image, missing_or_wrong

CLIENTS = 6
RUN = "/etc/homelab-registry/run"

FORMER_LAYOUT = f"""
set -- $(docker inspect -f '{{{{.Config.Image}}}} {{{{.Config.User}}}}' {REGISTRY})
docker rm -f {REGISTRY} && rm {RUN}/registry.sock && docker run -d --name {REGISTRY} --label homelab-registry.spec=0 \\
    --network none --user $2 --read-only --tmpfs /tmp -v /etc/homelab-registry/registry:/etc/registry:ro \\
    -v {RUN}:/run/registry -v /var/lib/homelab-registry:/var/lib/registry --entrypoint registry $1 serve /etc/registry/config.yml
"""


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


def sockets(gateway: Gateway) -> tuple[str, list[str]]:
    """Return what the link names, and the sockets that are there."""
    names = gateway.host.run(f"readlink {RUN}/registry.sock; cd {RUN}; find . -type s -printf '%f\n'").stdout
    link, *others = names.split()
    return link, sorted(others)
