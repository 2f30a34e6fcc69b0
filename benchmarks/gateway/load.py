"""Load from clients on the registry host: requests, downloads of blobs and pushes of images."""

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
    digest, size = hashlib.sha256(), 0
    with open(blobs / "new", "wb") as file:
        for block in blocks:
            digest.update(block)
            size += file.write(block)
    os.rename(blobs / "new", blobs / digest.hexdigest())
    return {"mediaType": f"application/vnd.{kind}", "size": size, "digest": f"sha256:{digest.hexdigest()}"}

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
"""Writes a new image of random bytes as an OCI layout, which crane can push; the layers cannot be compressed."""


def make_image(contenders: Contenders, layers: int, megabytes: int) -> str:
    """Write a new image to `LAYOUT`, with layers of `megabytes` each, and return the digest of its first layer."""
    command = f"python3 - {LAYOUT} {layers} {megabytes * MB} && sync"
    return contenders.host.run(command, stdin=MAKE_IMAGE).stdout.strip()


def requests(contenders: Contenders, name: str, path: str, seconds: int) -> float:
    """Return the authenticated requests per second on 16 connections; raise `RuntimeError` if one fails."""
    output = contenders.host.run(
        f"wrk -t1 -c16 -d{seconds}s --timeout 30s -H '{contenders.authorization}' -H 'Accept: {MANIFEST}' "
        f"{contenders.url(name)}{path}"
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{name}: {output}")
    return float(_search(r"Requests/sec: +([\d.]+)", output))


def blobs(contenders: Contenders, name: str, path: str, protocol: str, streams: int, count: int) -> float:
    """Return the MB/s of `count` GETs of a blob over TLS; raise `RuntimeError` if one fails.

    `streams` is the number of connections with HTTP/1.1, and of streams in one connection with HTTP/2.
    """
    options = f"--h1 -c{streams}" if protocol == "HTTP/1.1" else f"-c1 -m{streams}"
    output = contenders.host.run(
        f"h2load -n{count} {options} -H '{contenders.authorization}' {contenders.url(name)}{path}"
    ).stdout
    if f"{count} 2xx" not in output:
        raise RuntimeError(f"{name}: {output}")
    size = int(_search(r"traffic: .*\((\d+)\) data", output))
    return size / MB / _seconds(_search(r"finished in ([\d.]+m?s)", output))


def push(contenders: Contenders, name: str, image: str) -> float:
    """Push the image in `LAYOUT`, and return the seconds."""
    crane = contenders.with_crane(f"push {LAYOUT} {contenders.reference(name, image)}")
    timed = f"begun=$(date +%s%N); {crane} >&2 || exit 1; echo $(($(date +%s%N) - begun))"
    return int(contenders.host.run(timed).stdout) / 1e9


def _search(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        raise RuntimeError(f"no {pattern!r} in: {output}")
    return match[1]


def _seconds(duration: str) -> float:
    return float(duration[:-2]) / 1000 if duration.endswith("ms") else float(duration[:-1])
