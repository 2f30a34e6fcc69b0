"""What tests of replacements need: clients that push all the time, a layer that takes long, a registry of former times."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from tests.fleet.test_convergence import GATEWAY, REGISTRY
from tests.gateway.gateway import Gateway
from tests.gateway.pushing import Client, PushLog, RefusedError, digest, image, missing_or_wrong

CLIENTS = 6
RUN = "/etc/homelab-registry/run"

FORMER_LAYOUT = f"""
set -e
cd /etc/homelab-registry/gateway
cp -pL tls/current.pem tls/tls.pem && rm tls/current.pem tls/????????????????.pem
sed -i 's|default $realpath_root;|default /etc/gateway/tls/tls.pem;|; /keepalive_time/d' nginx.conf
own='--restart=unless-stopped --read-only --cap-drop=ALL --security-opt=no-new-privileges --tmpfs=/tmp --stop-timeout=40'
image_and_user='{{{{.Config.Image}}}} {{{{.Config.User}}}}'
set -- $(docker inspect -f "$image_and_user" {REGISTRY})
docker rm -f {REGISTRY} && rm {RUN}/registry.sock
docker run -d --name {REGISTRY} --label homelab-registry.spec=0 --network none --user $2 $own \\
    -v /etc/homelab-registry/registry:/etc/registry:ro -v {RUN}:/run/registry \\
    -v /var/lib/homelab-registry:/var/lib/registry --health-interval=1s \\
    --health-cmd='wget -q -O /dev/null http://127.0.0.1:5001/debug/health' \\
    --entrypoint registry $1 serve /etc/registry/config.yml
set -- $(docker inspect -f "$image_and_user" {GATEWAY})
docker rm -f {GATEWAY}
docker run -d --name {GATEWAY} --label homelab-registry.spec=0 --network homelab-registry --user $2 $own \\
    --stop-signal=SIGQUIT -v /etc/homelab-registry/gateway:/etc/gateway:ro -v {RUN}:/run/registry:ro \\
    -v /var/lib/homelab-registry:/var/lib/registry:ro -p 443:8443 --entrypoint nginx $1 -c /etc/gateway/nginx.conf
"""
"""Both containers as they were before the commit "Replace a container only by one that was seen to work".

By the arguments of its `docker create`, with what makes a difference: the registry listens in the place where the link
is now; the gateway reads one file for all leaves, and keeps its connections to the registry for a minute.
"""


@contextmanager
def load(gateway: Gateway, name: str, closed: list[float] | None = None) -> Iterator[PushLog]:
    """Push and pull on kept connections while the block runs; no request may fail, and all pushes must be there.

    With a list for `closed`, connections may fail, which puts the time into it; no answer may be an error even then.
    """
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
                if closed is not None and not isinstance(error, RefusedError):
                    closed.append(time.monotonic())
                    time.sleep(0.02)
                else:
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
