"""Images of whole hosts, made from Debian's packages and cached by what their recipe says."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import docker

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
    if client.images.list(recipe.tag):
        return recipe.tag
    archive = cache() / f"{recipe.tag.replace(':', '-')}.tar"
    if not archive.exists():
        _build(recipe, archive)
    with archive.open("rb") as file:
        subprocess.run(
            ["docker", "import", "-", recipe.tag], stdin=file, check=True, stdout=subprocess.DEVNULL
        )
    for command, pattern in recipe.versions:
        told = client.containers.run(recipe.tag, ["sh", "-c", command], remove=True).decode().strip()
        if not re.match(pattern, told):
            client.images.remove(recipe.tag)
            archive.unlink()
            raise RuntimeError(
                f"{recipe.name}: {command!r} says {told!r}, not {pattern!r}; the recipe is for another version"
            )
    return recipe.tag


def cache() -> Path:
    """Return the folder of the cached archives."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "homelab-registry-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _build(recipe: Recipe, archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        subprocess.run(
            ["apt-get", "install", "-q", "-y", "mmdebstrap"], check=True, stdout=subprocess.DEVNULL
        )
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        new = Path(folder) / "new.tar"
        subprocess.run(
            ["mmdebstrap", "-q", "--variant=important", f"--include={','.join(recipe.packages)}", recipe.suite,
             str(new), *_sources(recipe.suite)],
            check=True,
        )  # fmt: skip
        new.rename(archive)


def _sources(suite: str) -> list[str]:
    """Return this machine's own apt sources that have the suite, so that its mirror is used and none is named here."""
    folder = Path("/etc/apt")
    found = [
        *folder.glob("sources.list.d/*.sources"),
        *folder.glob("sources.list.d/*.list"),
        folder / "sources.list",
    ]
    fitting = [str(path) for path in found if path.is_file() and re.search(rf"\b{suite}\b", path.read_text())]
    if not fitting:
        raise RuntimeError(f"no apt source of this machine has {suite}")
    return [path for path in fitting if "debian" in Path(path).read_text()]
