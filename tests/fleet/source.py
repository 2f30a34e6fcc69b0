"""A source of images on a host, for a registry whose images are pulled.

Docker takes a registry on a loopback address without TLS, so that a bare one serves as the source. The images in it
stand for upstream's: distribution 3.1.2 from its Go module, and nginx from Debian's package.
"""

from __future__ import annotations

import subprocess

from tests.bench import programs
from tests.bench.hosts import BenchHost

SOURCE = "127.0.0.1:5000"
REGISTRY, GATEWAY = f"{SOURCE}/library/registry:3", f"{SOURCE}/nginx:stable"
PULLED = {"registry_image_source": "pull", "registry_image": REGISTRY, "registry_gateway_image": GATEWAY}
"""The settings of a deployment that pulls from it."""

SOURCE_CONFIG = "version: 0.1\nstorage: {filesystem: {rootdirectory: /tmp/source}}\nhttp: {addr: ':5000'}\n"


def start_source(host: BenchHost) -> None:
    """Start it on a host that has the images built from Debian's packages."""
    host.write("/tmp/bare.yml", SOURCE_CONFIG)
    host.run(
        f"docker run -d --name source -p {SOURCE}:5000 -v /tmp/bare.yml:/bare.yml:ro {built_image_id(host, 'registry')} "
        "registry serve /bare.yml"
    )
    host.wait_until(f"docker exec source wget -q -O /dev/null http://{SOURCE}/v2/", 30, "the source")
    newer = programs.program(programs.REGISTRY)
    subprocess.run(["docker", "cp", "-q", str(newer), f"{host.name}:/tmp/registry"], check=True)
    host.run(
        f"docker create --name newer {built_image_id(host, 'registry')} x && docker cp /tmp/registry newer:/bin/registry "
        f"&& docker commit newer {REGISTRY} && docker rm newer"
    )
    host.run(f"docker tag {built_image_id(host, 'nginx')} {GATEWAY}")
    push(host, REGISTRY, GATEWAY)


def built_image_id(host: BenchHost, name: str) -> str:
    """Return the id of an image that was built on the host."""
    return host.run(f"docker images -q homelab-registry/{name}").stdout.strip()


def push(host: BenchHost, *references: str) -> None:
    """Put images into the source, and take them from the engine that is to pull them."""
    for reference in references:
        host.run(f"docker push -q {reference} && docker rmi {reference}")
