"""Which images are needed, how each is had, and under which digest a pulled one is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.registry import images
from tasks.registry.images import BUILDS, ONE_AT_A_TIME, Build, Image
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

SCRIPT, ADD_MODULE = "echo build\n", "echo add\n"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REGISTRY, GATEWAY = "docker.io/library/registry:3", "docker.io/library/nginx:stable"
INSPECT = "{{range .RepoDigests}}{{.}} {{end}}"


def wanted(resolved: dict[str, str] | None = None, script: str = SCRIPT, **settings: Any) -> dict[str, Image]:
    return images.wanted(Settings(**settings), resolved or {}, (script, ADD_MODULE))


def pulled(resolved: dict[str, str] | None = None, **settings: Any) -> dict[str, Image]:
    return wanted(resolved, registry_image_source="pull", **settings)


def recipe(package: str, program: str, target: str, script: str = SCRIPT) -> str:
    text = f"Build(package={package!r}, program={program!r}, target={target!r}){script}"
    return f"homelab-registry.invalid/{target}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


TAGS = {
    "registry": recipe("docker-registry", "/usr/bin/docker-registry", "registry"),
    "gateway": recipe("nginx-light", "/usr/sbin/nginx", "nginx"),
}


def test_from_debian_both_are_built_under_a_tag_that_is_known_before() -> None:
    found = wanted()
    assert {role: (image.name, image.reference, image.built) for role, image in found.items()} == {
        role: (tag, tag, True) for role, tag in TAGS.items()
    }
    assert [image.step.text for image in found.values()] == [
        f"build the image {TAGS['registry']} from the package docker-registry: it is missing",
        f"build the image {TAGS['gateway']} from the package nginx-light: it is missing",
    ]
    assert [image.step.script for image in found.values()] == [
        f"{OWN_ENGINE}set -- docker-registry /usr/bin/docker-registry registry {TAGS['registry']}{ONE_AT_A_TIME}{SCRIPT}",
        f"{OWN_ENGINE}set -- nginx-light /usr/sbin/nginx nginx {TAGS['gateway']}{ONE_AT_A_TIME}{SCRIPT}",
    ]


def test_what_was_resolved_is_of_no_concern_to_what_is_built() -> None:
    assert wanted({REGISTRY: f"registry@{A}", TAGS["registry"]: f"x@{A}"}) == wanted()


def test_the_tag_changes_with_the_way_of_building_and_with_nothing_else() -> None:
    build = BUILDS["registry"]
    assert build.tag(SCRIPT) == Build(build.package, build.program, build.target).tag(SCRIPT)
    others = [
        build.tag(SCRIPT + "\n"),
        Build("docker-registry2", build.program, build.target).tag(SCRIPT),
        Build(build.package, "/bin/registry", build.target).tag(SCRIPT),
        Build(build.package, build.program, "registry2").tag(SCRIPT),
    ]
    assert len({build.tag(SCRIPT), *others}) == 5


def test_what_is_pulled_for_the_first_time_has_no_digest_yet() -> None:
    found = pulled()
    assert {role: (image.name, image.reference, image.built) for role, image in found.items()} == {
        "registry": (REGISTRY, None, False),
        "gateway": (GATEWAY, None, False),
    }
    assert [image.step.text for image in found.values()] == [
        f"pull the image {REGISTRY}: its digest is not known yet",
        f"pull the image {GATEWAY}: its digest is not known yet",
    ]
    assert f"docker pull -q {REGISTRY} >" in found["registry"].step.script


def test_what_was_resolved_before_is_pulled_by_its_digest() -> None:
    found = pulled({REGISTRY: f"registry@{A}", "registry:3": f"registry@{B}"})
    assert found["registry"].reference == f"registry@{A}"
    assert found["registry"].step.text == f"pull the image registry@{A}: it is missing"
    assert f"docker pull -q registry@{A} >" in found["registry"].step.script
    assert found["gateway"].reference is None


def test_another_name_is_resolved_anew() -> None:
    found = pulled({REGISTRY: f"registry@{A}"}, registry_image="docker.io/library/registry:2")
    assert found["registry"].reference is None
    assert found["registry"].name == "docker.io/library/registry:2"


def test_a_name_is_one_word_for_the_shell() -> None:
    script = images._pulled("x; touch /tmp/owned", None).step.script
    assert script.count("'x; touch /tmp/owned'") == script.count("touch") == 3


PULL = f"pull -q {REGISTRY}"


@pytest.mark.parametrize(
    ("config", "accepted", "code", "calls"),
    [
        (True, "/nonexistent", 0, [f"/nonexistent {PULL}"]),
        (True, "{home}/.docker", 0, [f"/nonexistent {PULL}", f"{{home}}/.docker {PULL}"]),
        (True, "none", 1, [f"/nonexistent {PULL}", f"{{home}}/.docker {PULL}"]),
        (False, "none", 1, [f"/nonexistent {PULL}"]),
    ],
)
def test_root_s_login_is_used_only_if_a_pull_without_one_is_refused(
    tmp_path: Path, config: bool, accepted: str, code: int, calls: list[str]
) -> None:
    if config:
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text("{}")
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\necho "$DOCKER_CONFIG $*" >> "$HOME/calls"; echo "$DOCKER_HOST$DOCKER_CONTEXT$DOCKER_TLS_VERIFY" >> "$HOME/told"\n'
        f'[ "$1" != pull ] || [ "$DOCKER_CONFIG" = "{accepted.format(home=tmp_path)}" ] || {{ echo refused >&2; exit 1; }}\n'
    )
    docker.chmod(0o755)
    elsewhere = {"DOCKER_HOST": "tcp://10.0.0.1:2376", "DOCKER_CONTEXT": "other", "DOCKER_TLS_VERIFY": "1"}
    done = subprocess.run(
        ["sh", "-c", pulled()["registry"].step.script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), **elsewhere},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shown = [] if code else [f"/nonexistent image inspect -f {INSPECT} {REGISTRY}"]
    assert done.returncode == code
    assert (tmp_path / "calls").read_text().splitlines() == [
        line.format(home=tmp_path) for line in calls
    ] + shown
    assert set((tmp_path / "told").read_text().splitlines()) == {"unix:///var/run/docker.sock"}


@pytest.mark.parametrize("source", ["debian", "pull"])
def test_the_scripts_are_sound(source: str) -> None:
    for image in wanted(registry_image_source=source).values():
        done = subprocess.run(["sh", "-n", "-c", image.step.script], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


# What is missing on a host.


@pytest.mark.parametrize("family", ["debian ", "ubuntu debian"])
def test_what_is_missing_is_built_on_debian_s_family(family: str) -> None:
    found = wanted()
    assert images.missing(found, {}, family) == found
    assert images.missing(found, {TAGS["gateway"]: A}, family) == {"registry": found["registry"]}
    assert images.missing(found, {TAGS["gateway"]: A, TAGS["registry"]: B}, family) == {}


@pytest.mark.parametrize("family", ["fedora ", "notdebian", ""])
def test_elsewhere_nothing_can_be_built(family: str) -> None:
    for present in ({}, {TAGS["gateway"]: A}):
        with pytest.raises(Conflict) as stop:
            images.missing(wanted(), present, family)
        assert (stop.value.problem, stop.value.remedy) == (
            "the images are built from Debian's packages, and this host is not of Debian's family",
            'set registry_image_source = "pull" and run again',
        )
    assert images.missing(wanted(), {TAGS["gateway"]: A, TAGS["registry"]: B}, family) == {}


@pytest.mark.parametrize("family", ["debian ", "fedora "])
def test_what_is_missing_is_pulled_anywhere(family: str) -> None:
    known = pulled({REGISTRY: f"registry@{A}"})
    assert images.missing(known, {f"registry@{A}": "sha256:1"}, family) == {"gateway": known["gateway"]}
    # Without a digest an image of the same name is not known to be the one.
    assert images.missing(known, {GATEWAY: "sha256:1"}, family) == known


# The digest.


@pytest.mark.parametrize(
    ("name", "listed", "reference"),
    [
        ("docker.io/library/x:3", f"x@{A}", f"x@{A}"),
        ("docker.io/library/x", f"x@{A}", f"x@{A}"),
        ("docker.io/library/x:3", f"docker.io/library/x@{A}", f"docker.io/library/x@{A}"),
        ("index.docker.io/library/x:3", f"x@{A}", f"x@{A}"),  # the engine takes it for docker.io
        ("library/x:3", f"x@{A}", f"x@{A}"),
        ("x", f"x@{A}", f"x@{A}"),
        ("x:3", f"x@{A} ", f"x@{A}"),
        (f"x@{A}", f"x@{A}", f"x@{A}"),
        (f"x:3@{A}", f"x@{A}", f"x@{A}"),
        (f"docker.io/library/x:3@{A}", f"x@{A}", f"x@{A}"),
        ("docker.io/me/x:3", f"me/x@{A}", f"me/x@{A}"),
        ("me/x", f"me/x@{A}", f"me/x@{A}"),
        ("ghcr.io/library/x:1", f"ghcr.io/library/x@{A}", f"ghcr.io/library/x@{A}"),
        ("localhost:5000/a/b:1", f"localhost:5000/a/b@{A}", f"localhost:5000/a/b@{A}"),
        ("localhost:5000/a/b", f"localhost:5000/a/b@{A}", f"localhost:5000/a/b@{A}"),
        (f"localhost:5000/a/b:1@{A}", f"localhost:5000/a/b@{A}", f"localhost:5000/a/b@{A}"),
        (f"localhost:5000/a/b@{A}", f"localhost:5000/a/b@{A}", f"localhost:5000/a/b@{A}"),
        ("[fd00::1]:5000/x:1", f"[fd00::1]:5000/x@{A}", f"[fd00::1]:5000/x@{A}"),
        ("[fd00::1]:5000/x", f"[fd00::1]:5000/x@{A}", f"[fd00::1]:5000/x@{A}"),
        (f"x@{B}", f"x@{A} x@{B}", f"x@{B}"),  # what the user pinned is kept
        # The same image under other names as well: the one that fits counts, not the first.
        ("docker.io/library/x:3", f"mirror.local/x@{B} me/x@{B} x@{A} ", f"x@{A}"),
        ("mirror.local/x:3", f"x@{A} mirror.local/x@{B}", f"mirror.local/x@{B}"),
        ("localhost:5000/x:1", f"localhost/x@{A}\nlocalhost:5000/x@{B}\n", f"localhost:5000/x@{B}"),
    ],
)  # fmt: skip
def test_the_digest_of_what_was_pulled(name: str, listed: str, reference: str) -> None:
    assert images.digest_of(name, listed) == reference


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("docker.io/library/x:3", ""),
        ("docker.io/library/x:3", " \n"),
        ("docker.io/library/x:3", f"y@{A} me/x@{A} xx@{A} library@{A}"),
        ("docker.io/me/x", f"x@{A}"),
        ("ghcr.io/me/x:1", f"me/x@{A}"),
        ("localhost:5000/x", f"localhost@{A} x@{A}"),
        ("x", "x@latest x@sha256:short x@ x"),
        ("x", f"x@{A};reboot x@{A}0"),
    ],
)
def test_where_none_fits_none_is_taken(name: str, listed: str) -> None:
    with pytest.raises(ValueError, match=r"^the engine knows no digest of ") as refused:
        images.digest_of(name, listed)
    assert str(refused.value) == f"the engine knows no digest of {name}"
