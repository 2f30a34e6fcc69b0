"""The images of the containers: built on the registry host, or pulled and kept by digest."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.remote.docker import OWN_ENGINE
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings

HOST = "homelab-registry.invalid"
"""The registry in the names of images that are built: no engine and no updater ever finds it (RFC 2606, section 2).
Without a registry the name would be one of Docker Hub's, where anyone may take it."""

ONE_AT_A_TIME = """
exec 9> /run/homelab-registry.build && flock -w 900 9 || { echo "another build is under way" >&2; exit 1; }
! docker image inspect "${6:-$4}" >/dev/null 2>&1 || exit 0
"""
"""A build goes on when its run is killed: nobody tells a program without a terminal that its SSH connection ended.
Each build removes the folders of those before it, so it waits for them, and takes what they made."""


@dataclass(frozen=True)
class Build:
    """An image made from a Debian package: `program` is its path there, `target` its name in the image's /bin."""

    package: str
    program: str
    target: str

    def tag(self, script: str) -> str:
        """Return the local tag; it changes with the package and with the `script` that builds the image."""
        recipe = hashlib.sha256(f"{self}{script}".encode()).hexdigest()[:12]
        return f"{HOST}/{self.target}:{recipe}"


BUILDS = {
    "registry": Build("docker-registry", "/usr/bin/docker-registry", "registry"),
    "gateway": Build("nginx-light", "/usr/sbin/nginx", "nginx"),
}
CACHE = Build("libnginx-mod-http-js", "/usr/sbin/nginx", "nginx")
"""nginx, which the package of its njs module depends on. Older images of the gateway stay as they are."""

METRICS = Build("mtail", "/usr/bin/mtail", "mtail")
"""Has no image of its own to be pulled: this one is always built."""

CACHE_MODULE = "/usr/lib/nginx/modules/ngx_http_js_module.so"
"""That module, there and in the image; nginx's own images have it in the same place."""


VERSION = "exec /bin/$target"
"""Begins the command of the script that sees whether the program runs."""


@dataclass(frozen=True)
class Image:
    """An image that is needed. `reference` is what a container is created from, None while its digest is unknown.

    `name` is the image to pull, or the tag that is `built`; `step` does it.
    """

    name: str
    reference: str | None
    step: Step
    built: bool


def read_scripts(files: Path) -> tuple[str, str]:
    """Return the script that builds an image, and the one that adds a module to it; `files` is their folder."""
    return (files / "build_image.sh").read_text(), (files / "add_nginx_module.sh").read_text()


def wanted(settings: Settings, resolved: Mapping[str, str], scripts: tuple[str, str]) -> dict[str, Image]:
    """Return the image of each role. `resolved` holds the digests of earlier runs by name, `scripts` build images.

    The caches have one of their own if it is built; one that is pulled is the gateway's.
    """
    script, add_module = scripts
    # mtail takes -v for something else.
    asks_version = script.replace(f"{VERSION} -v", f"{VERSION} -version")
    metrics = {"metrics": _built(METRICS, asks_version)} if settings.registry_metrics else {}
    if settings.registry_image_source == "debian":
        built = {role: _built(build, script) for role, build in BUILDS.items()}
        cache = {"cache": _built(CACHE, script, add_module)} if settings.registry_caches else {}
        return built | cache | metrics
    names = {"registry": settings.registry_image, "gateway": settings.registry_gateway_image}
    return {role: _pulled(name, resolved.get(name)) for role, name in names.items()} | metrics


def missing(images: Mapping[str, Image], present: Mapping[str, str], family: str) -> dict[str, Image]:
    """Return the images that are not on the host; `Conflict` if one must be built and cannot be.

    `present` gives the id of each image by reference, `family` the names of the host's distribution.
    """
    absent = {role: image for role, image in images.items() if image.reference not in present}
    if absent and "debian" not in family.split() and any(image.built for image in absent.values()):
        if any(images[role].built for role in BUILDS):
            what, remedy = "the images are", 'registry_image_source = "pull"'
        else:
            what, remedy = "the image of the metrics is", "registry_metrics = False"
        raise Conflict(
            f"{what} built from Debian's packages, and this host is not of Debian's family",
            f"set {remedy} and run again",
        )
    return absent


def _built(build: Build, script: str, add_module: str = "") -> Image:
    script += add_module
    tag = build.tag(script)
    more = [f"{tag}-bare", CACHE_MODULE, tag] if add_module else [tag]
    arguments = shlex.join([build.package, build.program, build.target, *more])
    step = Step(
        f"build the image {tag} from the package {build.package}: it is missing",
        f"{OWN_ENGINE}set -- {arguments}{ONE_AT_A_TIME}{script}",
    )
    return Image(tag, tag, step, built=True)


def _pulled(name: str, reference: str | None) -> Image:
    """Return an image to pull: without a login, and only if that is refused with the one that root may have."""
    source = shlex.quote(reference or name)
    inspect = "{{range .RepoDigests}}{{.}} {{end}}"
    script = (
        f"login=${{DOCKER_CONFIG:-$HOME/.docker}}\n{OWN_ENGINE}"
        f'docker pull -q {source} >/dev/null || {{ [ -f "$login/config.json" ] '
        f"&& DOCKER_CONFIG=$login timeout 900 docker pull -q {source} >/dev/null; }} || exit 1\n"
        f"docker image inspect -f '{inspect}' {source}"
    )
    known = "it is missing" if reference else "its digest is not known yet"
    step = Step(f"pull the image {reference or name}: {known}", script)
    return Image(name, reference, step, built=False)


def digest_of(name: str, repo_digests: str) -> str:
    """Return `repository@digest` of a pulled image from its RepoDigests; `ValueError` if there is none.

    The state keeps it for every later registry host, so what is no digest is none.
    """
    if "@" in name and name in repo_digests.split():
        return name
    repository = name.partition("@")[0]
    repository = repository.rpartition(":")[0] if ":" in repository.rpartition("/")[2] else repository
    familiar = repository.removeprefix("index.").removeprefix("docker.io/").removeprefix("library/")
    for reference in repo_digests.split():
        if not re.fullmatch("sha256:[0-9a-f]{64}", reference.partition("@")[2]):
            continue
        if reference.partition("@")[0] in {repository, familiar}:
            return reference
    raise ValueError(f"the engine knows no digest of {name}")
