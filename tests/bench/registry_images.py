"""The two images of the registry's containers, built once as the product builds them, for hosts whose subject is another.

Building them from Debian's packages is nearly all of a first deployment.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tasks.model.images import BUILDS
from tests.bench.cache import cache, locked
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER

SCRIPT = Path(__file__).parents[2] / "files" / "build_image.sh"


def load(host: BenchHost) -> None:
    """Wait for the host's Docker Engine, and load the images: a first deployment finds them there."""
    with _archive().open("rb") as images:
        _wait_for_engine(host)
        subprocess.run(
            ["docker", "exec", "-i", host.name, "docker", "load", "-q"],
            stdin=images, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def _archive() -> Path:
    """Return the archive of the images, made on a host of its own if it is not there."""
    script = SCRIPT.read_text()
    tags = [build.tag(script) for build in BUILDS.values()]
    key = hashlib.sha256(repr((BOOKWORM_DOCKER.tag, tags)).encode()).hexdigest()[:12]
    archive = cache() / f"registry-images-{key}.tar"
    with locked("registry-images"):
        if not archive.exists():
            host = BenchHost.start(BOOKWORM_DOCKER, "images")
            try:
                _wait_for_engine(host)
                for build, tag in zip(BUILDS.values(), tags, strict=True):
                    host.run(f"sh -s {build.package} {build.program} {build.target} {tag}", stdin=script)
                new = archive.with_suffix(".new")
                with new.open("wb") as file:
                    subprocess.run(
                        ["docker", "exec", host.name, "docker", "save", *tags], stdout=file, check=True
                    )
                new.rename(archive)
            finally:
                host.remove()
    return archive


def _wait_for_engine(host: BenchHost) -> None:
    host.wait_until("docker info", 60, "Docker Engine")
