"""Clients that push, pull and delete images that share layers, beside collections that are killed."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from tasks.storage.collection import Times
from tests.gateway.gateway import NAME, Gateway
from tests.gateway.pushing import CONFIG, LAYER, MANIFEST, Client, RefusedError, digest
from tests.unit.storage.collecting import Collector, KilledError

STORAGE = "/var/lib/homelab-registry"
INDEX = "application/vnd.oci.image.index.v1+json"
REPOSITORIES = [f"collected/{number}" for number in range(9)]
LAYERS = [hashlib.sha256(bytes([number])).digest() * 100 for number in range(14)]
ACTIVE = 3
"""Repositories that are pushed to at a time: one that is never at rest is never collected."""

VERBS = ("condemn", "tell", "publish", "move", "wait", "unlink", "delete", "")
"""After which step a collection is killed; the last stands for any."""


@dataclass
class Clients:
    """Threads of clients. `failed` has what was refused, `broken` the pulls that failed of a tag that was still there.

    A push may pause for `pause` seconds between two of its steps. `late` has what was refused of pushes that took
    longer as a whole: on a busy machine that is little.
    """

    gateway: Gateway
    name: str
    pause: float
    count: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    begun: dict[int, float] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    """For each tag: a registry by itself breaks one that is pushed and deleted at the same time."""

    def repository(self, rng: random.Random) -> str:
        first = int(time.monotonic() / 12) * ACTIVE
        names = (
            REPOSITORIES if rng.random() < 0.05 else [REPOSITORIES[(first + n) % 9] for n in range(ACTIVE)]
        )
        return f"{self.name}/{rng.choice(names)}"

    def work(self, number: int) -> None:
        rng, client = random.Random(number), Client(self.gateway)  # noqa: S311
        while not self.done.is_set():
            try:
                self.turn(client, rng)
            except (OSError, HTTPException, RefusedError) as error:
                took = time.monotonic() - self.begun[threading.get_ident()]
                refused = self.late if took > self.pause else self.failed
                refused.append(
                    f"{time.strftime('%T')} after {took:.1f} s {type(error).__name__}: {error}"[:200]
                )
                client.close()
        client.close()

    def turn(self, client: Client, rng: random.Random) -> None:
        name, tag, kind = self.repository(rng), f"v{rng.randrange(4)}", rng.random()
        with self.locks[f"{name}:{tag}"]:
            self.begun[threading.get_ident()] = time.monotonic()
            if kind < 0.5:
                self.image(client, rng, name, tag)
            elif kind < 0.75:
                children = [self.image(client, rng, name) for _ in range(2)]
                self.manifest(client, name, tag, {"mediaType": INDEX, "manifests": children})
                self.count["indexes"] += 1
            else:
                self.delete(name, tag)
                return
        self.count["pushes"] += 1

    def delete(self, name: str, tag: str) -> None:
        admin = self.gateway.authorization("admin")
        accept = {"Accept": f"{MANIFEST}, {INDEX}"}
        found = self.gateway.request("HEAD", f"/v2/{name}/manifests/{tag}", admin, accept)
        if named := found.header("Docker-Content-Digest"):
            self.deleted.add(f"{name}@{named}")
            answer = self.gateway.request("DELETE", f"/v2/{name}/manifests/{named}", admin)
            self.count[f"deletes answered by {answer.status}"] += 1

    def image(self, client: Client, rng: random.Random, name: str, tag: str = "") -> dict[str, Any]:
        """Push one of a few images, so that many are pushed again. None is both a child and tagged."""
        author = f"{tag or 'child'}-{rng.randrange(12)}"
        config = json.dumps({"architecture": "amd64", "os": "linux", "author": author}).encode()
        layers = random.Random(author).sample(LAYERS, 3)  # noqa: S311
        for blob in (config, *layers):
            if client.exists(f"/v2/{name}/blobs/{digest(blob)}"):
                self.count["blobs there"] += 1
            elif rng.random() > 0.4 or not self.mount(client, name, blob, self.repository(rng)):
                client.blob(name, blob, 1)
                self.count["blobs uploaded"] += 1
        time.sleep(rng.random() * 0.3)
        first, *others = (
            {"mediaType": kind, "digest": digest(blob), "size": len(blob)}
            for kind, blob in [(CONFIG, config), *((LAYER, each) for each in layers)]
        )
        return self.manifest(client, name, tag, {"mediaType": MANIFEST, "config": first, "layers": others})

    def mount(self, client: Client, name: str, blob: bytes, source: str) -> bool:
        target = f"/v2/{name}/blobs/uploads/?mount={digest(blob)}&from={source}"
        try:
            client.ask("mount", "POST", target, 201)
        except RefusedError as refused:
            if refused.status != 202:
                raise
            return False
        self.count["mounts"] += 1
        return True

    def manifest(self, client: Client, name: str, tag: str, content: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps({"schemaVersion": 2, **content}).encode()
        made = {"mediaType": content["mediaType"], "digest": digest(text), "size": len(text)}
        # As containerd's pusher does: what is there is not pushed again.
        if not tag and client.exists(f"/v2/{name}/manifests/{made['digest']}"):
            self.count["manifests there"] += 1
            return made
        client.ask(
            "PUT of a manifest",
            "PUT",
            f"/v2/{name}/manifests/{tag or made['digest']}",
            201,
            text,
            made["mediaType"],
        )
        return made

    def pull(self) -> None:
        rng, client = random.Random(99), Client(self.gateway)  # noqa: S311
        client.authorization = self.gateway.authorization("pull")
        while not self.done.is_set():
            name, tag = f"{self.name}/{rng.choice(REPOSITORIES)}", f"v{rng.randrange(4)}"
            if not (before := self.tagged(client, name, tag)):
                continue
            self.deleted.discard(f"{name}@{before}")
            wrong = whole(client, name, before)
            if wrong and self.tagged(client, name, tag) == before and f"{name}@{before}" not in self.deleted:
                self.broken.append(f"{time.strftime('%T')} {name}:{tag} {before}: {wrong}")
            self.count["pulls"] += 1
        client.close()

    def tagged(self, client: Client, name: str, tag: str) -> str:
        try:
            return digest(get(client, f"/v2/{name}/manifests/{tag}"))
        except RefusedError:
            return ""


@contextmanager
def clients(gateway: Gateway, name: str, pause: float, pushers: int = 6) -> Iterator[Clients]:
    """Have clients push, pull and delete while the block runs."""
    made = Clients(gateway, name, pause)
    threads = [threading.Thread(target=made.work, args=(number,)) for number in range(pushers)]
    threads.append(threading.Thread(target=made.pull))
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.done.set()
        for thread in threads:
            thread.join()


REAL = f"""
export DOCKER_CONFIG=/root/crane-push SSL_CERT_FILE=/etc/docker/certs.d/{NAME}/ca.crt
to={NAME}/$1/real number=0
ask() {{ "$@" >/tmp/real.out 2>&1 || echo "$(date +%T) $*: $(tail -n 1 /tmp/real.out)"; }}
while [ -e /root/pushing ]; do
    number=$((number + 1)) tag=$((number % 3))
    head -c 100000 /dev/zero | tr '\\0' $tag > /tmp/file && tar -C /tmp -cf /tmp/real.tar file
    ask docker import /tmp/real.tar $to/docker:$tag
    ask docker push -q $to/docker:$tag
    ask crane append -b $to/docker:$tag -f /tmp/real.tar -t $to/crane:$tag
    ! command -v skopeo >/dev/null || ask skopeo copy -q --authfile /root/crane-push/config.json \
        docker://$to/crane:$tag docker://$to/skopeo:$tag
    ask docker rmi -f $to/docker:$tag
    ask docker pull -q $to/docker:$tag
    for each in docker crane skopeo; do
        ! named=$(crane digest $to/$each:$tag 2>/dev/null) ||
            DOCKER_CONFIG=/root/crane-admin ask crane delete $to/$each@$named
    done
    echo "round $number"
    sleep $2
done
"""
"""Docker, crane and Skopeo push an image, build another on it, copy and delete them. Prints what failed."""


@contextmanager
def real_clients(gateway: Gateway, name: str, pause: int) -> Iterator[list[str]]:
    """Have these push while the block runs; afterwards the list has what they printed."""
    printed: list[str] = []
    for role in ("push", "admin"):
        gateway.crane(role, "version")
    gateway.host.write("/root/pushing", REAL)
    gateway.host.run(f"sh /root/pushing {name} {pause} > /tmp/real.log 2>&1 &")
    try:
        yield printed
        gateway.host.wait_until("grep -q round /tmp/real.log", 120, "a round of the clients")
    finally:
        gateway.host.run("rm /root/pushing")
    gateway.host.wait_until("! pgrep -f '^sh /root/pushing' >/dev/null", 120, "the end of the clients")
    printed += gateway.host.read("/tmp/real.log").splitlines()


def get(client: Client, target: str) -> bytes:
    headers = {"Authorization": client.authorization, "Accept": f"{MANIFEST}, {INDEX}"}
    client.connection.request("GET", target, headers=headers)
    answer = client.connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RefusedError(f"GET {target}", answer.status, content)
    return content


def whole(client: Client, name: str, named: str) -> str:
    """Return what is wrong with a manifest and all that it names, or an empty text."""
    try:
        text = get(client, f"/v2/{name}/manifests/{named}")
        if digest(text) != named:
            return f"the manifest has the digest {digest(text)}"
        content = json.loads(text)
        for child in content.get("manifests", []):
            if wrong := whole(client, name, child["digest"]):
                return wrong
        for part in [*([content["config"]] if "config" in content else []), *content.get("layers", [])]:
            if digest(get(client, f"/v2/{name}/blobs/{part['digest']}")) != part["digest"]:
                return f"{part['digest']} has other content"
    except RefusedError as refused:
        return str(refused)
    return ""


def tags_that_do_not_pull(gateway: Gateway, name: str) -> tuple[int, list[str]]:
    """Return the number of tags that pull, and what is wrong with the others."""
    client, good, wrong = Client(gateway), 0, []
    client.authorization = gateway.authorization("pull")
    for repository in (f"{name}/{each}" for each in REPOSITORIES):
        try:
            tags = json.loads(get(client, f"/v2/{repository}/tags/list"))["tags"] or []
        except RefusedError:
            continue
        for tag in tags:
            found = whole(client, repository, digest(get(client, f"/v2/{repository}/manifests/{tag}")))
            wrong += [f"{repository}:{tag}: {found}"] if found else []
            good += not found
    client.close()
    return good, wrong


@dataclass
class Kill:
    """Kill a run after the first, or any, line with a verb."""

    verb: str
    rng: random.Random

    def __call__(self, lines: Sequence[str]) -> int | None:
        places = [number for number, line in enumerate(lines, 1) if line.startswith(self.verb)]
        return self.rng.choice(places) if places else None


def collect(gateway: Gateway, times: Times, seen: int, kill: Kill | None = None) -> int | None:
    """Carry out one collection on the host; return how many blobs it deleted, None if it was killed."""

    def shell(script: str, given: str) -> str:
        return gateway.host.run(script, stdin=given).stdout

    run = Collector(STORAGE, times, shell=shell, seen=seen, linked=1)
    if kill:
        run.killed_at = kill
    try:
        return run.run()
    except KilledError:
        return None
