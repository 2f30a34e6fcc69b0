"""Constant load on a registry from every kind of client; each request, pull and push that fails is recorded.

Each client reads its login where a run writes it: the users' `config.json`, the pull secrets. Clients that are not in the
inventory get no new login from a run, so there are none of these.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import shlex
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.bench.cluster import Cluster, pod_on
from tests.bench.hosts import BenchHost
from tests.gateway.gateway import NAME

USER = "alice"
CONFIG = f"/home/{USER}/.docker/config.json"
REQUESTS_A_CONNECTION = 20
HTTP_CLIENTS = 4
SLOW_PUSH_SECONDS = 12


@dataclass
class Load:
    """What each kind of client did, and every failure: which client, after how many seconds, and the message."""

    began: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, float, str]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def until(self, client: str, count: int) -> None:
        """Wait until a kind of client has worked `count` times, and every kind at least once."""
        kinds = {thread.name for thread in self.threads}
        while self.done[client] < count or kinds - set(self.done):
            assert not self.failed, self.failed
            self.ending.wait(0.5)

    def again_and_again(self, client: str, act: Callable[[], None]) -> None:
        """Start a client that works until the load ends; its errors are recorded, and it goes on."""

        def work() -> None:
            while not self.ending.is_set():
                try:
                    act()
                except Exception as error:
                    self.failed.append((client, time.monotonic() - self.began, f"{error!r}"[:500]))
                    self.ending.wait(0.2)
                else:
                    self.done[client] += 1

        thread = threading.Thread(target=work, name=client)
        thread.start()
        self.threads.append(thread)


@dataclass(frozen=True)
class Target:
    """What is pulled: the registry's host, the CA's file, a manifest's digest and a blob's, in a repository."""

    host: BenchHost
    ca: Path
    image: str
    repository: str
    manifest: str
    blob: str


class HttpClient:
    """Requests over a connection that is kept for `REQUESTS_A_CONNECTION`, each answer held against its digest."""

    def __init__(self, target: Target, login: Callable[[], str]) -> None:
        self.target, self.login, self.left = target, login, 0
        self.connection: http.client.HTTPConnection | None = None

    def act(self) -> None:
        """Read a manifest, and a blob."""
        kind, digest = (("manifests", self.target.manifest), ("blobs", self.target.blob))[self.left % 2]
        if self.connection is None or self.left == 0:
            self.connection, self.left = _connect(self.target), REQUESTS_A_CONNECTION
        self.left -= 1
        headers = {"Authorization": f"Basic {self.login()}", "Accept": "*/*"}
        try:
            self.connection.request("GET", f"/v2/{self.target.repository}/{kind}/{digest}", headers=headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.left = 0
            raise
        assert answer.status == 200, (answer.status, body[:200])
        assert f"sha256:{hashlib.sha256(body).hexdigest()}" == digest


def _connect(target: Target) -> http.client.HTTPConnection:
    context = ssl.create_default_context(cafile=target.ca)
    connection = http.client.HTTPSConnection(target.host.address, 443, timeout=60)
    # Connect to the address; the certificate is for the name.
    plain = socket.create_connection((target.host.address, 443), timeout=60)
    connection.sock = context.wrap_socket(plain, server_hostname=NAME)
    return connection


@contextmanager
def load(cluster: Cluster, target: Target, namespace: str) -> Iterator[Load]:
    """Keep clients of every kind busy: HTTP, docker, skopeo, a slow push by curl, and pods on every node."""
    made, host = Load(), target.host
    login = _Watched(host)
    for _ in range(HTTP_CLIENTS):
        made.again_and_again("http", HttpClient(target, login.current).act)
    made.again_and_again("login", login.look)
    made.again_and_again("docker", lambda: _docker(target))
    made.again_and_again("skopeo", lambda: _skopeo(target))
    made.again_and_again("slow push", lambda: _slow_push(target))
    for name, node in cluster.nodes.items():
        made.again_and_again(f"pod {name}", partial(run_pod, cluster, target.image, namespace, node.name))
    try:
        yield made
    finally:
        made.ending.set()
        for thread in made.threads:
            thread.join()


class _Watched:
    """The user's login, read as often as the client can; a person's tool reads it before each command."""

    def __init__(self, host: BenchHost) -> None:
        self.host = host
        self.look()

    def look(self) -> None:
        self.auth = str(json.loads(self.host.read(CONFIG))["auths"][NAME]["auth"])
        time.sleep(0.2)  # so often is enough

    def current(self) -> str:
        return self.auth


def _as_user(host: BenchHost, command: str) -> None:
    done = host.run(f"su - {USER} -c {shlex.quote(command)}", check=False, timeout=300)
    assert done.exit_code == 0, done.stderr[-400:]


def _docker(target: Target) -> None:
    """Push an image that nobody has yet, and pull it and the common one."""
    own = f"{NAME}/load/docker:{secrets.token_hex(4)}"
    _as_user(
        target.host,
        f"head -c 300000 /dev/urandom > ~/layer && tar -c -C ~ layer | docker import - {own} >/dev/null "
        f"&& docker push -q {own} && docker rmi {own} {target.image} >/dev/null; docker pull -q {own} "
        f"&& docker rmi {own} >/dev/null && docker pull -q {target.image}",
    )


def _skopeo(target: Target) -> None:
    _as_user(
        target.host,
        f"rm -rf ~/copy && skopeo copy -q --authfile ~/.docker/config.json docker://{target.image} dir:copy",
    )


def _slow_push(target: Target) -> None:
    """Push a blob so slowly that what changes meanwhile changes under it, with the login it began with to its end."""
    size = SLOW_PUSH_SECONDS * 100_000
    base = f"https://{NAME}/v2/load/slow/blobs/uploads/"
    script = f"""set -e
auth=$(sed -n 's/.*"auth": *"\\([^"]*\\)".*/\\1/p' {CONFIG} | head -n 1)
printf 'silent\\nshow-error\\nfail\\ncacert = "/etc/docker/certs.d/{NAME}/ca.crt"\\nheader = "Authorization: Basic %s"\\n' "$auth" > /root/slow.conf
head -c {size} /dev/urandom > /root/slow
digest=$(sha256sum < /root/slow | cut -d ' ' -f 1)
at=$(curl -K /root/slow.conf -D - -o /dev/null -X POST {base} | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
curl -K /root/slow.conf --limit-rate 100k -X PATCH -H 'Content-Type: application/octet-stream' -D /root/slow.head \\
    -o /dev/null -T /root/slow "https://{NAME}$at"
at=$(tr -d '\\r' < /root/slow.head | sed -n 's/^[Ll]ocation: //p')
case "$at" in (*\\?*) joint='&' ;; (*) joint='?' ;; esac
curl -K /root/slow.conf -X PUT -o /dev/null "https://{NAME}$at${{joint}}digest=sha256:$digest"
"""
    done = target.host.run(script, check=False, timeout=300)
    assert done.exit_code == 0, done.stderr[-400:]


def run_pod(cluster: Cluster, image: str, namespace: str, node: str, policy: str = "Always") -> None:
    """Start a pod, see it run, and remove it; `policy` is when its image is pulled."""
    name = apply_pod(cluster, image, namespace, node, policy)
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=90s", f"pod/{name}")
    cluster.kubectl("delete", "pod", name, "-n", namespace, "--timeout=60s", "--force")


def apply_pod(cluster: Cluster, image: str, namespace: str, node: str, policy: str) -> str:
    """Apply a pod, and return its name."""
    name = f"load-{secrets.token_hex(4)}"
    cluster.apply(pod_on(node, name, namespace, image, policy))
    return name


def refusals(cluster: Cluster, namespace: str) -> list[str]:
    """Return the kubelets' messages about images that they could not pull."""
    events = cluster.get("events", "-n", namespace)["items"]
    return [each["message"] for each in events if each["reason"] in {"Failed", "BackOff"}]
