"""A registry on a host that serves as the source, for a deployment that pulls its images.

Docker accepts a registry on a loopback address without TLS, so a plain one is enough. The images in it
replace upstream's: distribution 3.1.2 from its Go module, and nginx from Debian's package.
"""

from __future__ import annotations

import subprocess
from ast import literal_eval

from tests import pages
from tests.bench import programs
from tests.bench.hosts import BenchHost

SOURCE = "127.0.0.1:5000"
REGISTRY, GATEWAY = f"{SOURCE}/library/registry:3", f"{SOURCE}/nginx:stable"
PULL = pages.line("docs/by-task.md", "registry_image_source = ").partition(" = ")
PULLED = {PULL[0]: literal_eval(PULL[2]), "registry_image": REGISTRY, "registry_gateway_image": GATEWAY}
"""The settings of a deployment that pulls from the source."""

SOURCE_CONFIG = "version: 0.1\nstorage: {filesystem: {rootdirectory: /tmp/source}}\nhttp: {addr: ':5000'}\n"


def start_source(host: BenchHost) -> None:
    """Start the source on a host that has the images built from Debian's packages."""
    host.write("/tmp/bare.yml", SOURCE_CONFIG)
    host.run(
        f"docker run -d --name source --network host -v /tmp/bare.yml:/bare.yml:ro {built_image_id(host, 'registry')} "
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
    """Return the ID of an image that was built on the host."""
    return host.run(f"docker images -q homelab-registry.invalid/{name}").stdout.strip()


def push(host: BenchHost, *references: str) -> None:
    """Push images to the source, and remove them from the engine, which will pull them later."""
    for reference in references:
        host.run(f"docker push -q {reference} && docker rmi {reference}")
