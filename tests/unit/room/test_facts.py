"""What is read of what engines and kubectl say."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.room.cluster import ClusterUsesFact
from tasks.room.facts import UsedImagesFact
from tasks.room.uses import Uses
from tests.unit.room.random_registries import digest

ID, DIGEST = digest("id"), digest("digest")


def encoded(*lines: str) -> str:
    return b64encode("\n".join(lines).encode()).decode()


def read(*lines: str) -> Uses:
    return UsedImagesFact().process([*lines, "end"])


def by(found: Uses) -> dict[str, str]:
    return {use.text: use.by for use in found.found if use.text}


def test_docker() -> None:
    name, gone = encoded("Docker Engine"), digest("gone")
    containers = [f'{ID} "/web" "nas/web:1|2"', f'{gone} "/old" "nas/old"']
    images = f'{ID} ["nas/web:1"] ["nas/web@{DIGEST}"]'
    found = read(f"docker|{name}|{encoded(*containers)}", f"docker_images|{name}|{encoded(images)}")
    assert by(found) == {
        "nas/web:1|2": "container web",
        ID: "container web",
        images.partition(" ")[2]: "container web",
        "nas/old": "container old",
        gone: "container old",
    }
    assert (found.unread, found.pods_on) == ((), ())


def test_a_services_image_and_the_one_before() -> None:
    new, old = ({"ContainerSpec": {"Image": f"nas/web:{each}"}} for each in (2, 1))
    lines = [f"web {json.dumps(new)} {json.dumps({'TaskTemplate': old})}", f"plug {json.dumps({})} null"]
    found = read(f"services|{encoded('Docker Engine')}|{encoded(*lines)}")
    assert by(found) == {"nas/web:2": "service web", "nas/web:1": "service web"}


def test_containerd() -> None:
    images = [
        f"nas/web:1 {DIGEST}",
        f"nas/web@{DIGEST} {DIGEST}",
        f"{ID} {DIGEST}",
        f"nas/unused:1 {digest('x')}",
    ]
    containers = ["0123456789abcdef nas/web:1", "pause -"]
    found = read(f"containerd|k8s.io|{encoded(*containers)}", f"containerd_images|k8s.io|{encoded(*images)}")
    web = "container 0123456789ab (k8s.io)"
    assert by(found) == {
        **dict.fromkeys(("nas/web:1", DIGEST, f"nas/web@{DIGEST}", ID), web), "-": "container pause (k8s.io)",
    }  # fmt: skip
    assert found.pods_on


@pytest.mark.parametrize("pod", [True, False])
def test_podman_and_crio(pod: bool) -> None:
    about = {"image-name": "nas/web:1", "name": "web"} | ({"pod-name": "p"} if pod else {})
    containers = [{"id": "1" * 64, "image": "ab", "metadata": json.dumps(about)}, {"id": "2" * 64}]
    images = [
        {"id": "ab", "digest": DIGEST, "names": ["nas/web:1", "nas/web:now"], "big-data-digests": {"m": ID}},
        {"id": "cd", "digest": digest("unused")},
    ]
    stored = [f"containers|{encoded(json.dumps(containers))}", f"images|{encoded(json.dumps(images))}"]
    found = read(*stored)
    texts = {"nas/web:1", "sha256:ab", "nas/web:now", DIGEST, ID}
    assert {text for text, who in by(found).items() if who == "container web"} == texts
    assert bool(found.pods_on) == pod
    of_user = read(f"user|eve|{encoded(*stored, 'end')}")
    assert by(of_user)["nas/web:1"] == "eve's container web"


def test_what_could_not_be_read_is_named() -> None:
    off = encoded("it is\x1b[2J off")
    found = read(f"unread|{encoded('Docker Engine')}|{off}", f"user|eve|{encoded('containers|%')}")
    assert found.unread == (
        "Docker Engine: it is\\x1b[2J off",
        "eve's containers: they could not be read",
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("docker|x",),
        (f"docker|{encoded('Docker Engine')}|{encoded('Cannot connect to the Docker daemon')}",),
        (f"containers|{encoded('{')}",),
        (f"images|{encoded('[]')}", f"containers|{encoded('[1]')}"),
    ],
)
def test_a_malformed_answer_is_no_answer(lines: tuple[str, ...]) -> None:
    with pytest.raises(FactProcessError):
        read(*lines)
    with pytest.raises(FactProcessError):
        UsedImagesFact().process(["containers|"])


def hexed(text: str) -> str:
    return text.encode().hex()


def test_a_cluster() -> None:
    found = ClusterUsesFact().process(
        [
            "kubectl|kubectl|/root/.kube/config",
            f"use|Pod|apps|web-1|{hexed('k3s-1')}|{hexed('nas/web:1')}|{hexed(f'nas/web@{DIGEST}')}",
            f"use|ReplicaSet|apps|web||{hexed('nas/web:0')}",
            "complete|yes",
            "end",
        ]
    )
    assert by(found) == {
        "nas/web:1": "Pod apps/web-1 on k3s-1",
        f"nas/web@{DIGEST}": "Pod apps/web-1 on k3s-1",
        "nas/web:0": "ReplicaSet apps/web",
    }


@pytest.mark.parametrize(
    ("lines", "unread"),
    [
        (["kubectl||none"], "the cluster: there is no kubectl here"),
        (["kubectl|kubectl|none"], "the cluster: kubectl has no configuration here"),
        (
            ["kubectl|kubectl|c", "error|The connection to the server x:6443 was refused", "exit|1"],
            "does not answer",
        ),
        (
            ["kubectl|kubectl|c", "exit|124"],
            "the cluster: kubectl could not read the cluster: it ended without",
        ),
    ],
)
def test_a_cluster_that_was_not_read_is_unknown(lines: list[str], unread: str) -> None:
    found = ClusterUsesFact().process([*lines, "end"])
    assert unread in found.unread[0]
    assert found.found == ()


def test_a_cluster_s_answer_that_was_cut_short_is_no_answer() -> None:
    with pytest.raises(FactProcessError):
        ClusterUsesFact().process(["kubectl|kubectl|c", "use|Pod|apps|web-1||", "end"])
