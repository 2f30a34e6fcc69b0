"""The two images of the registry's containers, built once as the product does, for tests of something else.

Building them from Debian's packages takes two thirds of a first deployment.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tasks.registry.images import BUILDS
from tests.bench.cache import cache, locked
from tests.bench.hosts import BenchHost

SCRIPT = Path(__file__).parents[2] / "files" / "build_image.sh"


def load(host: BenchHost) -> None:
    """Wait for the host's Docker Engine, and load the images; the first host of each Debian suite builds them."""
    host.wait_until("docker info", 60, "Docker Engine")
    script = SCRIPT.read_text()
    tags = {build: build.tag(script) for build in BUILDS.values()}
    suite = host.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
    archive = cache() / f"registry-images-{suite}-{hashlib.sha256(repr(tags).encode()).hexdigest()[:12]}.tar"
    with locked("registry-images"):
        if not archive.exists():
            for build, tag in tags.items():
                host.run(f"sh -s {build.package} {build.program} {build.target} {tag}", stdin=script)
            new = archive.with_suffix(".new")
            with new.open("wb") as file:
                save = ["docker", "exec", host.name, "docker", "save", *tags.values()]
                subprocess.run(save, stdout=file, check=True)
            new.rename(archive)
            return
    with archive.open("rb") as file:
        command = ["docker", "exec", "-i", host.name, "docker", "load", "-q"]
        subprocess.run(command, stdin=file, check=True, stdout=subprocess.DEVNULL)
