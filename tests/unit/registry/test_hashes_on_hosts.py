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
    assert registry.digest == "fa5f1d9573071ed0e210da85fe55314b5de15192d5194c04aff777e0dfe68e64"
    assert gateway.digest == "9ed7f28ffa19a264e885ea70e1a48fa2b171387fdabf726007003ebf588d6124"


def test_an_image_s_tag_is_the_one_that_is_on_hosts() -> None:
    script = (ROOT / "files/build_image.sh").read_text()
    assert {role: build.tag(script) for role, build in BUILDS.items()} == {
        "registry": "homelab-registry.invalid/registry:a485a6a4f1f9",
        "gateway": "homelab-registry.invalid/nginx:54b9b1838300",
    }
