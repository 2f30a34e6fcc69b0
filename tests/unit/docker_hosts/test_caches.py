"""What has Docker pull through the caches, by how it stores images; what takes it back; and what the user has there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tasks.clients import mirrors
from tasks.clients.mirrors import Mirror
from tasks.docker_hosts import caches, questions
from tasks.docker_hosts import plan as docker_hosts
from tasks.docker_hosts.engines import ROOTLESS, SNAP, SYSTEM, DockerHost, Engine, EngineInfo, read_info
from tasks.docker_hosts.plan import DockerTarget
from tasks.remote.files import File
from tasks.remote.steps import Conflict
from tasks.remote.users import User
from tasks.settings.load import HostSettings, Settings
from tests.unit.docker_hosts.test_plan import ADDRESS, CA, CERTS, DIRECTORY, file, stop, with_text
from tests.unit.docker_hosts.test_plan import converged as without_caches

NAME = "mirror.homelab.local"
URL = f"https://{NAME}"
SETTINGS: dict[str, Any] = {"registry_caches": ["docker.io", "ghcr.io"]}
DAEMON = SYSTEM[1]
CI = User("ci", 1000, 1001, "/home/ci")
SYSTEM_ENGINE = Engine(*SYSTEM)
ROOTLESS_ENGINE = Engine(f"/home/ci/{ROOTLESS[0]}", f"/home/ci/{ROOTLESS[1]}", CI)
CONTAINERD, GRAPH = EngineInfo("containerd"), EngineInfo("graph driver")
HOME = [f"make {CERTS}/{NAME}", f"write {CERTS}/{NAME}/ca.crt", f"write {CERTS}/{NAME}/hosts.toml"]
HUB = [f"make {CERTS}/docker.io", f"write {CERTS}/docker.io/hosts.toml"]
GHCR = [f"make {CERTS}/ghcr.io", f"write {CERTS}/ghcr.io/hosts.toml"]
MIRROR = [f"write {DAEMON}", "reload Docker, and see that it takes it"]


def used(**settings: Any) -> Mirror | None:
    return mirrors.mirror(Settings(**settings), HostSettings())


def host(
    info: EngineInfo | None, engine: Engine = SYSTEM_ENGINE, text: str = "", **settings: Any
) -> DockerHost:
    """A host that has all but the caches."""
    settings = settings or SETTINGS
    found = without_caches()
    paths = dict.fromkeys(docker_hosts.paths(Settings(**settings), engine.folder, used(**settings)))
    return replace(
        found,
        paths={**paths, **found.paths},
        texts={**found.texts, **({engine.configuration: text} if text else {})},
        engines=[engine],
        daemons={} if engine.user else {"7": ["dockerd"]},
        info={engine.folder: info} if info else {},
    )


def with_files(found: DockerHost, mirror: Mirror, engine: Engine = SYSTEM_ENGINE) -> DockerHost:
    """The host as a run left it whose engine has these caches in `certs.d`."""
    paths, texts = {**found.paths}, {**found.texts}
    for item in mirrors.wanted(engine.certs, mirror, CA, *engine.owner):
        paths[item.path] = file(item.content) if isinstance(item, File) else DIRECTORY
        if isinstance(item, File):
            texts[item.path] = item.content
    return replace(found, paths=paths, texts=texts)


def planned(found: DockerHost, **settings: Any) -> docker_hosts.Planned:
    settings = settings or SETTINGS
    return docker_hosts.steps(Settings(**settings), DockerTarget(CA, ADDRESS, mirror=used(**settings)), found)


def lines(found: DockerHost, **settings: Any) -> list[str]:
    """Return what the steps for the caches do, without their reasons."""
    said = [line for step in planned(found, **settings).steps for line in step.text.splitlines()]
    return [line.partition(":")[0] for line in said if not line.startswith("write /etc/hosts")]


def says(*mirror: str, **more: Any) -> str:
    return json.dumps({**more, "registry-mirrors": list(mirror)})


@pytest.mark.parametrize(
    ("said", "info"),
    [
        (["28.5.2", [["driver-type", "io.containerd.snapshotter.v1"]], None], CONTAINERD),
        (["29.0.0-rc1", [["driver-type", "io.containerd.snapshotter.v1"]], []], CONTAINERD),
        (["26.1.5+dfsg1", [["driver-type", "io.containerd.snapshotter.v1"]], []],
         EngineInfo("old containerd")),
        (["20.10.24", [["Backing Filesystem", "extfs"]], [f"{URL}/"]], EngineInfo("graph driver", (f"{URL}/",))),
        (["20.10.24", None, None], GRAPH),
        (["", [], []], None),
        ("no", None),
        ([1, 2], None),
        ([1, [], []], None),
    ],
)  # fmt: skip
def test_what_docker_says_of_itself(said: object, info: EngineInfo | None) -> None:
    assert read_info(json.dumps(said)) == info


@pytest.mark.parametrize(
    ("info", "settings", "expected"),
    [
        (CONTAINERD, SETTINGS, [*HOME, *HUB, *GHCR]),
        (CONTAINERD, {"registry_caches": ["ghcr.io"]}, [*HOME, *GHCR]),
        (GRAPH, SETTINGS, [*HOME, *MIRROR]),
        (GRAPH, {"registry_caches": ["ghcr.io"]}, []),
        (EngineInfo("old containerd"), SETTINGS, []),
        (None, SETTINGS, []),
        (CONTAINERD, {"registry_caches": []}, []),
        (GRAPH, {"registry_caches": []}, []),
    ],
)
def test_each_store_gets_what_it_reads(
    info: EngineInfo | None, settings: dict[str, Any], expected: list[str]
) -> None:
    assert lines(host(info, **settings), **settings) == expected


def test_what_is_written() -> None:
    texts = {step.path: step.stdin for step in planned(host(CONTAINERD)).steps if step.writes}
    assert texts[f"{CERTS}/ghcr.io/hosts.toml"] == mirrors.hosts_toml(
        Settings(**SETTINGS).registry_caches[1], NAME, f"{CERTS}/{NAME}/ca.crt"
    )
    (step,) = (each for each in planned(host(GRAPH, text='{"debug": true}')).steps if each.path == DAEMON)
    assert step.stdin == f'{{"debug": true, "registry-mirrors": ["{URL}"]}}'


def whole() -> Mirror:
    found = used(**SETTINGS)
    assert found
    return found


def home() -> Mirror:
    return replace(whole(), upstreams=())


IN_FORCE = EngineInfo("graph driver", (f"{URL}/",))
REMOVED = [f"remove {CERTS}/docker.io/hosts.toml", f"remove {CERTS}/ghcr.io/hosts.toml"]
HOME_REMOVED = f"remove {CERTS}/{NAME}"


@pytest.mark.parametrize(
    ("info", "mirror", "text", "settings", "expected"),
    [
        # Nothing to do.
        (CONTAINERD, whole, "", SETTINGS, []),
        (IN_FORCE, home, says(URL), SETTINGS, []),
        (IN_FORCE, home, says(f"{URL}/"), SETTINGS, []),
        # A killed run, or an engine that was restarted with a file from before.
        (GRAPH, home, says(URL), SETTINGS, [*MIRROR]),
        # The store was switched.
        (CONTAINERD, home, says(URL), SETTINGS, [*HUB, *GHCR, f"write {DAEMON}", MIRROR[1]]),
        (GRAPH, whole, "", SETTINGS, [*MIRROR, *REMOVED]),
        # An upstream was taken out, or all.
        (CONTAINERD, whole, "", {"registry_caches": ["docker.io"]}, REMOVED[1:]),
        (CONTAINERD, whole, "", {"registry_caches": []}, [*REMOVED, HOME_REMOVED]),
        (IN_FORCE, home, says(URL), {"registry_caches": []}, [*MIRROR, HOME_REMOVED]),
        (IN_FORCE, home, says(URL), {"registry_caches": ["ghcr.io"]}, [*MIRROR, HOME_REMOVED]),
        # It does not run: what is there stays, and goes with the caches.
        (None, whole, "", SETTINGS, []),
        (None, home, says(URL), SETTINGS, []),
        (None, home, says(URL, debug=True), {"registry_caches": []}, [MIRROR[0], HOME_REMOVED]),
    ],
)
def test_what_an_earlier_run_left(
    info: EngineInfo | None, mirror: Any, text: str, settings: dict[str, Any], expected: list[str]
) -> None:
    found = with_files(host(info, text=text, **settings), mirror())
    assert lines(found, **settings) == expected


def test_the_caches_got_another_name() -> None:
    settings = {**SETTINGS, "registry_cache_name": "caches.homelab.local"}
    found = with_files(host(IN_FORCE, text=says(URL), **settings), home())
    steps = planned(found, **settings).steps
    (step,) = (each for each in steps if each.path == DAEMON)
    assert step.stdin == says("https://caches.homelab.local")
    assert steps[-1].text.startswith(f"remove {CERTS}/{NAME}:")


def test_an_engine_of_a_user_s_gets_them_with_that_user_s_rights() -> None:
    found = host(CONTAINERD, ROOTLESS_ENGINE)
    folder = ROOTLESS_ENGINE.certs
    steps = [step for step in planned(found).steps if step.path and NAME in step.path]
    assert [step.path for step in steps] == [
        f"{folder}/{NAME}", f"{folder}/{NAME}/ca.crt", f"{folder}/{NAME}/hosts.toml",
    ]  # fmt: skip
    assert all("run_as 1000 1001 ci /home/ci " in step.script for step in steps)
    assert f'ca = "{folder}/{NAME}/ca.crt"' in (steps[2].stdin or "")


@pytest.mark.parametrize(
    ("info", "engine", "settings", "why"),
    [
        (CONTAINERD, SYSTEM_ENGINE, SETTINGS, None),
        (GRAPH, SYSTEM_ENGINE, SETTINGS, None),
        (None, SYSTEM_ENGINE, SETTINGS, f"Docker pulls nothing through the caches: {caches.UNKNOWN}"),
        (GRAPH, SYSTEM_ENGINE, {"registry_caches": ["ghcr.io"]},
         "Docker pulls nothing through the caches: it stores images with a graph driver, for which Docker has mirrors "
         "of docker.io alone"),
        (EngineInfo("old containerd"), SYSTEM_ENGINE, SETTINGS,
         "Docker pulls nothing through the caches: its containerd image store reads no hosts.toml before Docker 27"),
        (GRAPH, Engine(*SNAP), SETTINGS,
         "Docker pulls nothing through the caches: it stores images with a graph driver, and is not the system's "
         "engine"),
        (GRAPH, ROOTLESS_ENGINE, SETTINGS,
         "Docker of ci pulls nothing through the caches: it stores images with a graph driver, and is not the "
         "system's engine"),
        (None, ROOTLESS_ENGINE, SETTINGS, None),
        (None, SYSTEM_ENGINE, {"registry_caches": []}, None),
    ],
)  # fmt: skip
def test_who_cannot_is_noted_once(
    info: EngineInfo | None, engine: Engine, settings: dict[str, Any], why: str | None
) -> None:
    assert planned(host(info, engine, **settings), **settings).notes == ([why] if why else [])


def test_the_snap_beside_a_system_without_an_engine_is_no_note() -> None:
    found = host(CONTAINERD, Engine(*SNAP))
    both = replace(found, engines=[SYSTEM_ENGINE, *found.engines])
    paths = dict.fromkeys(docker_hosts.paths(Settings(), SYSTEM[0], used(**SETTINGS)))
    assert planned(replace(both, paths={**paths, **both.paths})).notes == []


# What is the user's.

REMEDY = (
    "take that out, or docker.io out of registry_caches, or set registry_use_caches to False for this host, "
    "and run again"
)
THEIRS = "https://me:secret@mirror.example.org"
SHOWN = "https://mirror.example.org"


def conflict(found: DockerHost, **settings: Any) -> tuple[str, str]:
    with pytest.raises(Conflict) as raised:
        planned(found, **settings)
    return raised.value.problem, raised.value.remedy


@pytest.mark.parametrize("info", [CONTAINERD, GRAPH])
@pytest.mark.parametrize(
    "text",
    [
        f'{{\n"registry-mirrors": [\n"{THEIRS}"]}}',
        f'{{"a": 1,\n"registry-mirrors": [\n"{URL}", "{THEIRS}"]}}',
    ],
)
def test_a_mirror_of_the_user_s_is_quoted(info: EngineInfo, text: str) -> None:
    assert conflict(host(info, text=text)) == (
        f'{DAEMON} line 3 has "{SHOWN}" in registry-mirrors, so Docker has a mirror of docker.io already', REMEDY
    )  # fmt: skip
    only_ghcr: dict[str, Any] = {"registry_caches": ["ghcr.io"]}
    assert DAEMON not in [
        step.path for step in planned(host(info, text=text, **only_ghcr), **only_ghcr).steps
    ]


@pytest.mark.parametrize("arguments", [["--registry-mirror", THEIRS], [f"--registry-mirror={THEIRS}"]])
@pytest.mark.parametrize("info", [CONTAINERD, GRAPH])
def test_a_mirror_in_the_arguments_is_quoted(info: EngineInfo, arguments: Sequence[str]) -> None:
    assert conflict(replace(host(info), daemons={"7": ["dockerd", *arguments]})) == (
        f"dockerd (pid 7) runs with --registry-mirror {SHOWN}, so it has a mirror of docker.io already", REMEDY
    )  # fmt: skip


def test_a_hosts_toml_of_the_user_s_is_quoted_if_it_would_be_replaced() -> None:
    path = f"{CERTS}/docker.io/hosts.toml"
    text = f'server = "x"\n[host."{THEIRS}"]\n'
    assert conflict(with_text(host(CONTAINERD), path, text))[0].startswith(f"{path} line 2 asks {SHOWN}")
    assert lines(with_text(host(GRAPH), path, text)) == [*HOME, *MIRROR]


def test_another_configuration_file_is_edited_if_docker_reads_that() -> None:
    found = replace(host(GRAPH), daemons={"7": ["dockerd", "--config-file=/srv/d.json"]})
    steps = planned(with_text(found, "/srv/d.json", '{"debug": true}')).steps
    assert {step.path: step.stdin for step in steps}["/srv/d.json"] == (
        f'{{"debug": true, "registry-mirrors": ["{URL}"]}}'
    )


def test_the_caches_as_an_insecure_registry_are_quoted() -> None:
    text = f'{{"insecure-registries": ["{NAME}"]}}'
    assert stop(with_text(host(CONTAINERD), DAEMON, text), **SETTINGS)[0] == (
        f'{DAEMON} line 1 has "{NAME}" in insecure-registries, so Docker checks no certificate of {NAME}'
    )


@pytest.mark.parametrize(("info", "names"), [(CONTAINERD, ["docker.io", "ghcr.io"]), (GRAPH, ["docker.io"])])
def test_what_is_pulled_through_them(info: EngineInfo, names: list[str]) -> None:
    mirror = planned(host(info)).mirror
    assert mirror is not None
    assert (mirror.endpoint, mirror.names) == (NAME, names)
    (asked,) = questions.of_mirror(Settings(**SETTINGS), host(info))
    assert (asked.endpoint, asked.ca, asked.words[0]) == (NAME, f"{CERTS}/{NAME}/ca.crt", "ask_mirror")


def test_an_engine_that_does_not_run_asks_nothing() -> None:
    assert planned(host(None)).mirror is None
    assert questions.of_mirror(Settings(**SETTINGS), host(None)) == []
