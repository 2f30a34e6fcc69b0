"""The load: requests, blobs and images, as the clients on the registry's own host count them."""

from __future__ import annotations

import re

from benchmarks.gateway.contenders import Contenders

MB = 1_000_000
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYOUT = "/root/layout"

MAKE_IMAGE = """
import hashlib, json, os, pathlib, shutil, sys
folder, layers, size = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
shutil.rmtree(folder, ignore_errors=True)
blobs = folder / "blobs/sha256"
blobs.mkdir(parents=True)

def add(kind, *blocks):
    told, size = hashlib.sha256(), 0
    with open(blobs / "new", "wb") as file:
        for block in blocks:
            told.update(block)
            size += file.write(block)
    os.rename(blobs / "new", blobs / told.hexdigest())
    return {"mediaType": f"application/vnd.{kind}", "size": size, "digest": f"sha256:{told.hexdigest()}"}

def layer():
    block = os.urandom(1000000)
    return add("docker.image.rootfs.diff.tar.gzip", *[block] * (size // 1000000))

made = [layer() for _ in range(layers)]
system = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [x["digest"] for x in made]}}
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
manifest["config"] = add("docker.container.image.v1+json", json.dumps(system).encode())
manifest["layers"] = made
index = {"schemaVersion": 2, "manifests": [add("docker.distribution.manifest.v2+json", json.dumps(manifest).encode())]}
(folder / "index.json").write_text(json.dumps(index))
(folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
print(made[0]["digest"])
"""
"""Writes an image that no registry has seen, as crane pushes it; no layer can be made smaller on its way."""


def make_image(contenders: Contenders, layers: int, megabytes: int) -> str:
    """Write a new image with layers of that size to `LAYOUT`, and return its first layer's digest."""
    command = f"python3 - {LAYOUT} {layers} {megabytes * MB} && sync"
    return contenders.host.run(command, stdin=MAKE_IMAGE).stdout.strip()


def requests(contenders: Contenders, name: str, path: str, seconds: int) -> float:
    """Return how many authenticated requests a second are answered on 16 connections; `RuntimeError` on any other."""
    said = contenders.host.run(
        f"wrk -t1 -c16 -d{seconds}s --timeout 30s -H '{contenders.authorization}' -H 'Accept: {MANIFEST}' "
        f"{contenders.url(name)}{path}"
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{name}: {said}")
    return float(_found(r"Requests/sec: +([\d.]+)", said))


def blobs(contenders: Contenders, name: str, path: str, protocol: str, streams: int, count: int) -> float:
    """Return MB/s of that many GETs of a blob over TLS; `RuntimeError` where one fails.

    Streams are connections with HTTP/1.1, and streams of one connection with HTTP/2.
    """
    how = f"--h1 -c{streams}" if protocol == "HTTP/1.1" else f"-c1 -m{streams}"
    said = contenders.host.run(
        f"h2load -n{count} {how} -H '{contenders.authorization}' {contenders.url(name)}{path}"
    ).stdout
    if f"{count} 2xx" not in said:
        raise RuntimeError(f"{name}: {said}")
    size = int(_found(r"traffic: .*\((\d+)\) data", said))
    return size / MB / _seconds(_found(r"finished in ([\d.]+m?s)", said))


def push(contenders: Contenders, name: str, image: str) -> float:
    """Push what is in `LAYOUT`, and return the seconds."""
    crane = contenders.with_crane(f"push {LAYOUT} {contenders.reference(name, image)}")
    timed = f"begun=$(date +%s%N); {crane} >&2 || exit 1; echo $(($(date +%s%N) - begun))"
    return int(contenders.host.run(timed).stdout) / 1e9


def _found(pattern: str, said: str) -> str:
    match = re.search(pattern, said)
    if match is None:
        raise RuntimeError(f"no {pattern!r} in: {said}")
    return match[1]


def _seconds(told: str) -> float:
    return float(told[:-2]) / 1000 if told.endswith("ms") else float(told[:-1])
