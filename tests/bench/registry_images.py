"""The images of the registry's containers, built once as the product does, for tests of something else.

Building them from Debian's packages takes two thirds of a first deployment.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tasks.registry import images
from tasks.registry.images import BUILDS, CACHE, METRICS, Build, Image
from tasks.settings.load import Settings
from tests.bench.cache import cache, locked
from tests.bench.hosts import BenchHost

FILES = Path(__file__).parents[2] / "files"


def load(host: BenchHost, *, caches: bool = False, metrics: bool = False) -> None:
    """Wait for the host's Docker Engine, and load the images, with `caches` and `metrics` also theirs.

    The first host of each Debian suite builds them.
    """
    host.wait_until("docker info", 60, "Docker Engine")
    wanted = _wanted(caches=caches, metrics=metrics)
    suite = host.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
    with locked("registry-images"):
        _load(host, f"registry-images-{suite}", {BUILDS[role]: wanted[role] for role in BUILDS})
        if caches:
            _load(host, f"cache-image-{suite}", {CACHE: wanted["cache"]})
        if metrics:
            _load(host, f"metrics-image-{suite}", {METRICS: wanted["metrics"]})


def cache_image() -> str:
    """Return the tag of the caches' image: nginx with njs, as nginx's own image has it."""
    return _wanted(caches=True)["cache"].name


def _wanted(*, caches: bool = False, metrics: bool = False) -> dict[str, Image]:
    settings = Settings.model_validate(
        {"registry_caches": ["docker.io"] if caches else [], "registry_metrics": metrics}
    )
    return images.wanted(settings, {}, images.read_scripts(FILES))


def _load(host: BenchHost, name: str, wanted: dict[Build, Image]) -> None:
    """Load images from the archive of that name, or build them and make it."""
    tags = {build: image.name for build, image in wanted.items()}
    archive = cache() / f"{name}-{hashlib.sha256(repr(tags).encode()).hexdigest()[:12]}.tar"
    if archive.exists():
        with archive.open("rb") as file:
            command = ["docker", "exec", "-i", host.name, "docker", "load", "-q"]
            subprocess.run(command, stdin=file, check=True, stdout=subprocess.DEVNULL)
        return
    for image in wanted.values():
        host.run(image.step.script)
    new = archive.with_suffix(".new")
    with new.open("wb") as file:
        subprocess.run(
            ["docker", "exec", host.name, "docker", "save", *tags.values()], stdout=file, check=True
        )
    new.rename(archive)
