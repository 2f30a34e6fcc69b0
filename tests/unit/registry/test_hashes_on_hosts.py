"""Hashes that stand on hosts already: literal values, so that a rename in the code moves none of them.

One that changes makes every user's next run recreate containers or rebuild images. A change that is meant is
recorded in CHANGELOG.md, and its new values here.
"""

from __future__ import annotations

from tasks.registry import containers
from tasks.registry.images import BUILDS
from tasks.run.context import ROOT

FOLDER, STORAGE = "/etc/homelab-registry", "/var/lib/homelab-registry"
CONFIG_SHA256 = "ab" * 32


def test_a_container_s_label_is_the_one_that_is_on_hosts() -> None:
    registry = containers.registry("homelab-registry.invalid/registry:0", FOLDER, STORAGE, CONFIG_SHA256)
    gateway = containers.gateway("homelab-registry.invalid/nginx:0", FOLDER, STORAGE, 443, CONFIG_SHA256)
    assert registry.digest == "6e61c9341126579df6f074a193d8de5130560c005c6613e7aa2d6d58a2f46442"
    assert gateway.digest == "156473ff6c1aa6767c092b4bd2ab49778065d218a642059080d857b3dfe342d1"


def test_an_image_s_tag_is_the_one_that_is_on_hosts() -> None:
    script = (ROOT / "files/build_image.sh").read_text()
    assert {role: build.tag(script) for role, build in BUILDS.items()} == {
        "registry": "homelab-registry.invalid/registry:a485a6a4f1f9",
        "gateway": "homelab-registry.invalid/nginx:54b9b1838300",
    }
