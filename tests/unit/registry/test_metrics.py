"""The metrics: what is made and removed for them, and what the gateway's lines can hold."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from tasks.registry import containers, images, metrics
from tasks.registry import desired as layout
from tasks.registry import plan as registry
from tasks.registry.desired import GATEWAY_CONFIG, Desired
from tasks.remote.files import File
from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tests.unit.registry import test_plan
from tests.unit.registry.test_plan import IMAGES, RECORD, SECRETS, TEMPLATES, inspected, texts

FOLDER = layout.FOLDER
IMAGE = f"{images.HOST}/mtail:1"


def desire(**more: Any) -> Desired:
    settings = Settings(registry_metrics=True, **more)
    return layout.desire(settings, SECRETS, IMAGES | {"metrics": IMAGE}, TEMPLATES, RECORD)


def converged(desired: Desired) -> registry.RegistryHost:
    found = test_plan.converged(desired, Settings(registry_metrics=True))
    return replace(found, images={**found.images, IMAGE: f"sha256:{IMAGE}"})


WITH = desire()
WITHOUT = test_plan.desire()


def content(desired: Desired, name: str) -> str:
    return next(
        item.content for item in desired.files if isinstance(item, File) and item.path == f"{FOLDER}/{name}"
    )


def test_without_metrics_there_is_nothing_of_them() -> None:
    assert [each.name for each in WITHOUT.containers] == [containers.REGISTRY, containers.GATEWAY]
    assert not [item.path for item in WITHOUT.files if "metrics" in item.path]
    configuration = content(WITHOUT, GATEWAY_CONFIG)
    assert not re.search("metrics|counted", configuration)
    assert re.findall("access_log ([^ ;]*)", configuration) == ["/dev/stdout"] * 3 + ["off"] * 3


def test_switching_on_replaces_the_gateway_and_leaves_the_registry() -> None:
    found = replace(converged(WITHOUT), images={**converged(WITHOUT).images, IMAGE: f"sha256:{IMAGE}"})
    assert texts(WITH, found) == [
        f"make {FOLDER}/metrics: it is missing",
        f"write {FOLDER}/gateway/nginx.conf: its content is not as it should be",
        f"write {FOLDER}/metrics/metrics.sh: it is missing",
        f"write {FOLDER}/metrics/requests.mtail: it is missing",
        "recreate the container homelab-registry-gateway: it was started in another way",
        "create the container homelab-registry-metrics: it does not exist",
    ]
    assert texts(WITH, converged(WITH)) == []


def test_switching_off_removes_them_after_the_gateway_does_without_the_volume() -> None:
    reports = {each.name: inspected(each) for each in WITH.containers}
    reports[metrics.NAME]["Config"]["Image"] = IMAGE
    steps = registry.steps(WITHOUT, replace(converged(WITH), containers=reports))
    assert [step.text for step in steps] == [
        f"write {FOLDER}/gateway/nginx.conf: its content is not as it should be",
        "recreate the container homelab-registry-gateway: it was started in another way",
        "remove homelab-registry-metrics and what it counted: registry_metrics is off",
    ]
    script = steps[-1].script
    parts = [
        f"docker rm -f {metrics.NAME} ",
        f"docker volume rm {metrics.NAME} ",
        f"docker rmi {IMAGE} ",
        "rm -rf ",
    ]
    assert [script.index(part) for part in parts] == sorted(script.index(part) for part in parts)
    assert script.endswith(f"rm -rf {FOLDER}/metrics")


def test_what_a_killed_removal_left_goes_too() -> None:
    found = converged(WITH)
    left = {name: report for name, report in found.containers.items() if name != metrics.NAME}
    last = registry.steps(WITHOUT, replace(found, containers=left))[-1]
    assert last.text == "remove homelab-registry-metrics and what it counted: registry_metrics is off"
    assert "docker rm -f" not in last.script
    spare = {
        **test_plan.converged(WITHOUT).containers,
        metrics.NAME + containers.NEXT: inspected(WITH.containers[-1]),
    }
    (step,) = registry.steps(WITHOUT, replace(test_plan.converged(WITHOUT), containers=spare))
    assert f"docker rm -f {metrics.NAME}-next" in step.script


def test_a_container_of_that_name_that_is_not_ours_stays() -> None:
    found = converged(WITH)
    foreign = {**inspected(WITH.containers[-1]), "Config": {"Labels": None}}
    theirs = {**test_plan.converged(WITHOUT).containers, metrics.NAME: foreign}
    assert texts(WITHOUT, replace(test_plan.converged(WITHOUT), containers=theirs)) == []
    with pytest.raises(Conflict, match="a container homelab-registry-metrics that this project did not make"):
        registry.steps(WITH, replace(found, containers={**found.containers, metrics.NAME: foreign}))


def test_the_container_has_no_network_and_writes_to_memory_alone() -> None:
    container = WITH.containers[-1]
    assert (container.name, container.network) == (metrics.NAME, "none")
    assert [mount for mount in container.mounts if mount.writable] == [metrics.shared()]
    arguments = containers.create(container, "")
    mounted = next(each for each in arguments if "type=volume" in each)
    assert mounted == (
        "--mount=type=volume,source=homelab-registry-metrics,target=/run/metrics,volume-driver=local,"
        'volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=32m,mode=1777"'
    )
    assert shlex.split(shlex.join(arguments)) == arguments


@pytest.mark.parametrize(
    ("more", "seen", "not_seen"),
    [
        ({}, "disk_free_bytes", "storage_used_bytes"),
        ({"registry_storage_limit": "30GB"}, "storage_limit_bytes 30000000000", "cache_used_bytes"),
        ({"registry_caches": ["docker.io"]}, "cache_limit_bytes 20000000000", "storage_used_bytes"),
    ],
)
def test_the_script_knows_what_there_is(more: dict[str, Any], seen: str, not_seen: str) -> None:
    script = metrics.files(Settings.model_validate({"registry_metrics": True, **more}), TEMPLATES)[
        metrics.SCRIPT
    ]
    assert seen in script
    assert not_seen not in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_what_the_gateway_runs_is_sound_and_ends_in_nginx() -> None:
    assert subprocess.run(["sh", "-n"], input=metrics.START, text=True, check=False).returncode == 0
    assert metrics.START.endswith("\nexec nginx -c /etc/gateway/nginx.conf\n")
    gateway = next(each for each in WITH.containers if each.name == containers.GATEWAY)
    assert gateway.command == ("sh", "-c", metrics.START)


def test_a_line_for_the_metrics_has_no_word_of_a_client() -> None:
    """Each variable is a number of nginx's, or a map to words that stand in the configuration."""
    text = content(WITH, GATEWAY_CONFIG)
    line = re.search(r"log_format counted '(.*)';", text)
    assert line
    variables = re.findall(r"\$(\w+)", line[1])
    numbers = {"status", "request_length", "bytes_sent", "request_time"}
    maps = [name for name in variables if name not in numbers]
    assert maps == ["counted_method", "counted_kind", "counted_login"]
    words = {"$action"}
    for name in [*maps, "action"]:
        body = re.search(rf"map [^{{]* \${name} {{\n(.*?)\n\s*}}", text, re.DOTALL)
        assert body
        words |= {row.split()[-1].rstrip(";") for row in body[1].splitlines()}
    assert all(re.fullmatch("[a-z]+", word) for word in words - {"$action"}), words


@pytest.mark.parametrize(("by_timer", "marks"), [(False, ["run"]), (True, ["run", "timer-run"])])
def test_a_run_notes_itself_with_the_command_that_reads(
    by_timer: bool, marks: list[str], tmp_path: Any
) -> None:
    subprocess.run(["sh", "-c", metrics.mark(str(tmp_path), by_timer=by_timer)], check=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / metrics.FOLDER).mkdir()
    subprocess.run(["sh", "-c", metrics.mark(str(tmp_path), by_timer=by_timer)], check=True)
    assert sorted(path.name for path in (tmp_path / metrics.FOLDER).iterdir()) == marks


def test_its_image_is_built_whatever_the_source_and_does_not_move() -> None:
    scripts = images.read_scripts(ROOT / "files")
    built = images.wanted(Settings(registry_metrics=True), {}, scripts)
    pulled = images.wanted(Settings(registry_metrics=True, registry_image_source="pull"), {}, scripts)
    assert built["metrics"] == pulled["metrics"]
    assert built["metrics"].reference == "homelab-registry.invalid/mtail:230f0d94f69e"
    assert '"exec /bin/$target -version"' in built["metrics"].step.script
    assert "metrics" not in images.wanted(Settings(), {}, scripts)
    with pytest.raises(Conflict, match="the image of the metrics is built from Debian's packages"):
        images.missing(pulled, {}, "fedora")
