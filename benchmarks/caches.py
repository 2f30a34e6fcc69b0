"""Measure the pull-through caches side by side with distribution 3.1.2 as a proxy, and write the results."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.figures import log_progress
from benchmarks.gateway.contenders import STATIC_CONFIG
from benchmarks.gateway.figures import in_turns
from benchmarks.results import RESULTS, Row, table
from tasks.registry import leaf
from tasks.registry.containers import UID
from tasks.registry.desired import FOLDER as OURS
from tests.bench import programs
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.caches.caches import MIRROR, Caches
from tests.caches.client import BROKEN, Cache
from tests.caches.hub import MEGABYTE, Made

LARGE, SMALL = 500, 5
"""MB of the images."""

LINE = 20
"""MB/s that the registries in the internet give in all, so that the line is the limit and not this machine."""

CLIENTS, WARM, ROUNDS = 8, 1000, 7
BLOB, BLOBS = 64, 12
"""MB of the blob that is downloaded, and how often in a round."""

PORTS = {"cache": 443, "distribution": 5010, "proxy": 5011}
FOLDER = "/root/contenders"
LEAF = f"{OURS}/{leaf.LINK}"
"""Certificate and key of the gateway, for the others too."""

DISTRIBUTION_CONFIG = f"""\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {FOLDER}/store}}, delete: {{enabled: true}}}}
http: {{addr: ":{PORTS["distribution"]}", tls: {{certificate: {LEAF}, key: {LEAF}}}}}
proxy: {{remoteurl: "https://registry-1.docker.io"}}
"""
PROXY_CONFIG = STATIC_CONFIG.replace(
    "        root ",
    """\
        location / {
            proxy_pass http://unix:/tmp/files.sock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
            proxy_buffers 8 256k;
            proxy_busy_buffers_size 1m;
            proxy_buffer_size 16k;
        }
    }
    server {
        listen unix:/tmp/files.sock;
        root """,
)
"""The gateway's nginx with its buffers, before another that has the blob as a file."""


@dataclass
class Contender:
    """What one cache made of the large image, and of warm pulls and a restart without the internet.

    Seconds; `sent` is what the registry sent to all clients, in multiples of the image; `counted` are GETs of
    manifests.
    A restart that serves nothing has the error instead.
    """

    alone: float = 0
    all_done: float = 0
    first: float = 0
    sent: float = 0
    counted: int = 0
    offline: float = 0
    offline_first: float = 0
    offline_error: str = ""


@dataclass
class Figures:
    """By contender; `blobs` are MB/s of warm pulls: of `disk` from the registry's own blobs."""

    contenders: dict[str, Contender] = field(default_factory=dict)
    blobs: dict[str, float] = field(default_factory=dict)


def run(target: Path = RESULTS) -> list[Row]:
    """Measure, write figures and page, and return a row for each target."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress("booting the caches' host and that of the registries in the internet")
        caches = Caches.start(BOOKWORM_DOCKER, Path(folder), ("curl", "nghttp2-client"))
        try:
            figures = measure(caches)
        finally:
            caches.remove()
    target.mkdir(exist_ok=True)
    (target / "caches.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (target / "caches.md").write_text(page(figures, load))
    return rows(figures)


def measure(caches: Caches) -> Figures:
    """Measure both caches, one after the other, and then warm pulls of a blob in turns."""
    caches.deploy(registry_cache_limit="3GB")
    host, figures = caches.gateway.host, Figures()
    host.give(programs.REGISTRY)
    host.write(f"{FOLDER}/distribution.yml", DISTRIBUTION_CONFIG)
    start = (
        f"nohup env OTEL_TRACES_EXPORTER=none registry serve {FOLDER}/distribution.yml >{FOLDER}/log 2>&1 </dev/null & "
        f"echo $! > {FOLDER}/pid"
    )
    host.run(start)
    restarts: dict[str, Callable[[], object]] = {
        "cache": caches.restart,
        "distribution": partial(host.run, f"kill -9 $(cat {FOLDER}/pid); {start}; sleep 3"),
    }
    for name, restart in restarts.items():
        client = Cache(caches.gateway.address, PORTS[name], MIRROR, caches.gateway.ca)
        host.wait_until(f"curl -sk -o /dev/null https://127.0.0.1:{PORTS[name]}/v2/", 30, name)
        images = [
            caches.hub.add(f"docker.io/library/{name}-{what}:1", size * MEGABYTE)
            for what, size in (("alone", LARGE), ("shared", LARGE), ("small", SMALL))
        ]
        figures.contenders[name] = found = _measure_one(caches, client, name, images, restart)
        log_progress(f"{name}: {found}")
    figures.blobs = _warm_blobs(caches)
    return figures


def _measure_one(
    caches: Caches, client: Cache, name: str, images: list[Made], restart: Callable[[], object]
) -> Contender:
    alone, shared, small = images
    log_progress(f"{name}: one client, then {CLIENTS}, of {LARGE} MB at {LINE} MB/s")
    with caches.hub.behaving(rate=LINE * MEGABYTE):
        one = client.pull(alone)
        caches.hub.reset()
        pulled = client.pull_at_once(shared, CLIENTS)
        sent = caches.hub.counters().cdn_bytes
    found = Contender(
        one.seconds,
        max(each.seconds for each in pulled),
        max(each.first for each in pulled),
        sent / one.size,
    )
    log_progress(f"{name}: {WARM} warm pulls by tag")
    client.pull(small)
    caches.hub.reset()
    for _ in range(WARM):
        client.pull(small)
    found.counted = caches.hub.counters().manifest_gets
    log_progress(f"{name}: restarted without the internet")
    with caches.hub.behaving(down=True, names_down=True):
        began = time.monotonic()
        try:
            restart()
            found.offline, found.offline_first = client.pull(small).seconds, client.pull(shared).first
        except (*BROKEN, AssertionError) as error:
            found.offline_error = f"{type(error).__name__} after {time.monotonic() - began:.0f} s"
    return found


def _warm_blobs(caches: Caches) -> dict[str, float]:
    """Return MB/s of a blob, by where it comes from."""
    log_progress("warm pulls of a blob")
    host, gateway = caches.gateway.host, caches.gateway
    image = caches.hub.add("docker.io/library/blob:1", BLOB * MEGABYTE)
    caches.mirror.pull(image)
    (digest,) = image.layers
    path = f"/v2/{image.repository}/blobs/{digest}"
    host.run(
        f"curl -sSf -o {FOLDER}/blob -k --resolve {MIRROR}:443:{gateway.address} 'https://{MIRROR}{path}' && "
        f"mkdir -p {FOLDER}/www && mv {FOLDER}/blob {FOLDER}/www/blob"
    )
    nginx = host.run("docker inspect -f '{{.Config.Image}}' homelab-registry-gateway").stdout.strip()
    config = re.sub(r"root [^;]*;", "root /www;", PROXY_CONFIG)
    host.write(f"{FOLDER}/proxy.conf", config)
    host.run(
        f"docker run -d --name plain-proxy --network homelab-registry --user {UID}:{UID} --tmpfs /tmp "
        f"-p {PORTS['proxy']}:5000 -v {FOLDER}/proxy.conf:/etc/proxy.conf:ro -v $(realpath {LEAF}):/etc/tls/tls.pem:ro "
        f"-v {FOLDER}/www:/www:ro --entrypoint nginx {nginx} -c /etc/proxy.conf"
    )
    push = gateway.request("POST", "/v2/blob/blobs/uploads/", gateway.authorization("push"))
    host.run(
        f"curl -sSfk -X PUT -T {FOLDER}/www/blob -H @- "
        f"'https://127.0.0.1{push.header('location')}&digest={digest}'",
        stdin=f"Authorization: {gateway.authorization('push')}\n",
    )
    login = gateway.authorization("pull")
    urls = {
        "cache": f"https://{MIRROR}{path}",
        "proxy": f"https://{MIRROR}:{PORTS['proxy']}/blob",
        "distribution": f"https://{MIRROR}:{PORTS['distribution']}{path}",
        "disk": f"https://registry.homelab.local/v2/blob/blobs/{digest}",
    }
    return in_turns(
        ROUNDS,
        {
            name: partial(_download, caches, url, login if name == "disk" else "")
            for name, url in urls.items()
        },
    )


def _download(caches: Caches, url: str, login: str) -> float:
    """Return the MB/s of GETs of the blob on one connection; raise `RuntimeError` if one fails."""
    option = f"-H 'Authorization: {login}'" if login else ""
    output = caches.gateway.host.run(f"h2load --h1 -c1 -n{BLOBS} {option} '{url}'").stdout
    taken = re.search(r"finished in ([\d.]+)(m?)s", output)
    if f"{BLOBS} 2xx" not in output or taken is None:
        raise RuntimeError(f"{url}: {output}")
    return BLOB * BLOBS / (float(taken[1]) / (1000 if taken[2] else 1))


def rows(figures: Figures) -> list[Row]:
    """Return a row for each target."""
    ours, theirs = figures.contenders["cache"], figures.contenders["distribution"]
    blobs, what = figures.blobs, f"{CLIENTS} clients pull {LARGE} MB at once, {LINE} MB/s"
    beside = "distribution: "
    offline = theirs.offline_error or f"{theirs.offline:.2f} s and {theirs.offline_first:.2f} s"
    return [
        Row(f"{what}: sent upstream", ours.sent, 1.02, True, details=f"{beside}{theirs.sent:.2f} ×"),  # noqa: RUF001
        Row(
            f"{what}: all done, against one client",
            ours.all_done / ours.alone,
            1.2,
            True,
            details=f"{ours.all_done:.1f} s against {ours.alone:.1f} s; "
            f"{beside}{theirs.all_done:.1f} s against {theirs.alone:.1f} s",
        ),
        Row(f"{what}: slowest first byte", ours.first, 1, True, "s", f"{beside}{theirs.first:.2f} s"),
        Row(
            f"warm GET of {BLOB} MB against a plain proxy of the file",
            blobs["cache"] / blobs["proxy"],
            0.95,
            at_most=False,
            details=f"{blobs['cache']:.0f} MB/s against {blobs['proxy']:.0f} MB/s; "
            f"{beside}{blobs['distribution']:.0f} MB/s; the registry's own blobs: {blobs['disk']:.0f} MB/s",
        ),
        Row(
            f"counted GETs upstream of {WARM:,} warm pulls by tag",
            ours.counted,
            0,
            True,
            "GETs",
            f"{beside}{theirs.counted}",
        ),
        Row(
            f"restarted without the internet: {SMALL} MB",
            ours.offline if not ours.offline_error else float("inf"),
            2,
            True,
            "s",
            f"{beside}{offline}",
        ),
        Row(
            f"restarted without the internet: first byte of {LARGE} MB",
            ours.offline_first if not ours.offline_error else float("inf"),
            1,
            True,
            "s",
        ),
    ]


def page(figures: Figures, load: float) -> str:
    """Return the results as Markdown."""
    return "\n".join(
        [
            "# Results: the caches",
            "",
            "Written by `make bench`; [what is measured](../README.md#the-caches).",
            "",
            f"- {os.cpu_count()} cores for caches, clients and the fake registries; load average {load:.1f} before",
            f"- warm GETs are medians of {ROUNDS} rounds in turns, after a warm-up round",
            "",
            *table(["what", "measured", "", "target", "reached"], [row.cells for row in rows(figures)]),
            "",
        ]
    )
