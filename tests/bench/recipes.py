"""Images of whole hosts, made from Debian's packages and cached by what their recipe says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.bench.cache import cache, locked
from tests.bench.leftovers import LABEL, this_process
from tests.bench.sources import sources

BASE = ("systemd", "systemd-sysv", "openssh-server", "make", "python3", "ca-certificates", "iproute2")


@dataclass(frozen=True)
class Recipe:
    """A host: the Debian `suite`, its `packages`, and the `versions` that must have come out, by the command telling."""

    name: str
    suite: str
    packages: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def tag(self) -> str:
        """The image's name; it changes with the recipe."""
        return f"homelab-bench-{self.name}:{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"


# Neither Docker nor pip nor sudo: what a user finds after Debian's installer.
BOOKWORM = Recipe("bookworm", "bookworm", BASE, (("cat /etc/debian_version", r"12\."),))
BOOKWORM_DOCKER = Recipe(
    "bookworm-docker",
    "bookworm",
    (*BASE, "docker.io", "openssl", "sudo", "strace", "python3-venv", "git"),
    (("cat /etc/debian_version", r"12\."), ("docker --version", r"Docker version 20\.10\.")),
)
RECIPES = {recipe.name: recipe for recipe in (BOOKWORM, BOOKWORM_DOCKER)}


def image(client: docker.DockerClient, recipe: Recipe) -> str:
    """Return the tag of the recipe's image, made if it is not there; `RuntimeError` if it is not what it should be."""
    with locked(recipe.name):
        if not client.images.list(recipe.tag):
            _make(client, recipe)
    return recipe.tag


def _make(client: docker.DockerClient, recipe: Recipe) -> None:
    archive = cache() / f"{recipe.tag.replace(':', '-')}.tar"
    if not archive.exists():
        _build(recipe, archive)
    unchecked = (
        f"{recipe.tag}-unchecked"  # or a run that ends here would leave an image that passes for a good one
    )
    with archive.open("rb") as file:
        subprocess.run(
            ["docker", "import", "-", unchecked], stdin=file, check=True, stdout=subprocess.DEVNULL
        )
    try:
        for command, pattern in recipe.versions:
            told = client.containers.run(
                unchecked, ["sh", "-c", command], remove=True, labels={LABEL: this_process()}
            )
            version = told.decode().strip()
            if not re.match(pattern, version):
                archive.unlink()
                raise RuntimeError(
                    f"{recipe.name}: {command!r} says {version!r}, not {pattern!r}; the recipe is for another version"
                )
        client.images.get(unchecked).tag(recipe.tag)
    finally:
        client.images.remove(unchecked)


def _build(recipe: Recipe, archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        for command in (["update"], ["install", "-y", "mmdebstrap"]):
            subprocess.run(["apt-get", "-q", *command], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        debian = Path(folder) / "debian.sources"  # mmdebstrap puts a copy into the host
        debian.write_text(sources(recipe.suite))
        new = Path(folder) / "new.tar"
        subprocess.run(
            ["mmdebstrap", "-q", "--variant=important", f"--include={','.join(recipe.packages)}", recipe.suite,
             str(new), str(debian)],
            check=True,
        )  # fmt: skip
        new.rename(archive)
