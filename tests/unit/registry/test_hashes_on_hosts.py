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
    registry = containers.registry("homelab-registry/registry:0", FOLDER, STORAGE, CONFIG_SHA256)
    gateway = containers.gateway("homelab-registry/nginx:0", FOLDER, STORAGE, 443, CONFIG_SHA256)
    assert registry.digest == "d63bbefa8239c01c6167984d6a3f3aa5c12379f2175782c994d26d10df14c9bc"
    assert gateway.digest == "177ca79ba2a21b6f4b651ad4f7b8347268823e2af27148c3ce08a54b5879911a"


def test_an_image_s_tag_is_the_one_that_is_on_hosts() -> None:
    script = (ROOT / "files/build_image.sh").read_text()
    assert {role: build.tag(script) for role, build in BUILDS.items()} == {
        "registry": "homelab-registry/registry:9e0d2ed1c5ca",
        "gateway": "homelab-registry/nginx:a9c7195c5b8d",
    }
