"""What is said of the registry and its clients: nothing that was not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest

from tasks.cli import standing, summary
from tasks.clients.claims import Claim, Claims
from tasks.clients.mirrors import Mirror
from tasks.registry.context import RegistryContext
from tasks.registry.plan import RegistryHost
from tasks.registry.usage import Measured, Summary, Usage
from tasks.run.context import Run
from tasks.settings.load import Configuration, Settings
from tasks.state.store import Store
from tests.unit.clients.test_mirrors import UPSTREAMS

NAME = "registry.homelab.local"
NOW = 1_800_000_000


def lab() -> Run:
    return Run(Configuration(Settings(), {}, "nas"), Store(Path("/nowhere")), "lab.py", dry=False)


def claim(group: str, *titles: str, logged_in: tuple[str, ...] = ()) -> Claim:
    return Claim(group, titles, [NAME], "PEM", "192.0.2.1", [], changed=True, logged_in=logged_in)


def saw(run: Run, host: str, made: Claim, seen: list[str]) -> None:
    run.part(Claims).make(host, made)
    run.part(Claims).trusting[host, made.group] = seen


@pytest.mark.parametrize(
    ("asked", "seen", "doubt"),
    [
        ("nas pi", "nas pi", ""),
        ("pi", "pi", ""),
        ("nas", "nas", "asked from nas itself alone; whether other hosts reach it was not seen"),
        ("nas pi", "nas", "no other host was seen to reach it"),
        ("pi", "", "no other host was seen to reach it"),
        ("", "", "no other host was seen to reach it"),
    ],
)
def test_what_was_not_seen_is_said(asked: str, seen: str, doubt: str) -> None:
    run = lab()
    for host in asked.split():
        saw(run, host, claim("docker_hosts", "Docker"), ["Docker"] if host in seen.split() else [])
    assert standing._doubt(run) == doubt


def test_clients_are_listed_by_runtime_and_only_those_that_were_seen_trust() -> None:
    run = lab()
    saw(run, "nas", claim("docker_hosts", "Docker", logged_in=("root", "me")), ["Docker"])
    saw(run, "pi", claim("docker_hosts", "Docker"), [])
    saw(run, "edge", claim("cluster_nodes", "containerd", "Podman"), ["Podman"])
    saw(run, "node", claim("cluster_nodes", "Podman"), ["Podman"])
    assert standing._clients(run) == [
        ("Trusted by", "nas (Docker) · edge, node (Podman)"),
        ("Has the CA", "pi (Docker) · edge (containerd)"),
        ("Logged in", "root, me on nas"),
    ]


def test_hosts_that_the_caches_answered_are_listed_once() -> None:
    run, end = lab(), "mirror.homelab.local"
    used = Mirror(end, UPSTREAMS)
    for host, group, seen in (
        ("nas", "docker_hosts", ["Docker", end]), ("nas", "cluster_nodes", ["Docker", end]),
        ("pi", "docker_hosts", ["Docker"]), ("edge", "docker_hosts", [end]),
    ):  # fmt: skip
        saw(run, host, replace(claim(group, "Docker"), mirror=used), seen)
    assert standing._clients(run) == [
        ("Trusted by", "nas, nas, pi (Docker)"),
        ("Has the CA", "edge (Docker)"),
        ("Caches", f"of docker.io and ghcr.io answered nas, edge at {end}"),
    ]


def test_a_client_that_was_not_finished_is_not_listed() -> None:
    run = lab()
    run.part(Claims).make("pi", claim("docker_hosts", "Docker"))
    assert standing._clients(run) == []


@pytest.mark.parametrize(
    ("names", "problem", "rows"),
    [
        (("default", "apps"), False, [("Pods", "can pull in: default, apps")]),
        (("*",), False, [("Pods", "can pull in: every namespace but kube-*")]),
        (("default",), True, [("Pods", "can pull in: default, but for what is named below")]),
        ((), False, []),
    ],
)
def test_pods_of_a_finished_cluster(
    names: tuple[str, ...], problem: bool, rows: list[tuple[str, str]]
) -> None:
    settings = Settings.model_validate({"registry_pull_secret_namespaces": names})
    run = Run(Configuration(settings, {}, "nas"), Store(Path("/nowhere")), "lab.py", dry=False)
    assert standing._pods(run) == []
    run.finished.add(("control", "cluster_control"))
    if problem:
        run.report.problem("control", "team-1 could not be written", "run again")
    assert standing._pods(run) == rows


def test_paths_can_be_pasted_where_the_run_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert standing.shown(tmp_path / "state/lab") == "state/lab"
    assert standing.shown(Path("/srv/state")) == "/srv/state"


def of_storage(limit: str | None, used: int) -> Run:
    """A run that saw so many GB used, on a disk with 50 of 100 GB free."""
    run = Run(
        Configuration(Settings(registry_storage_limit=limit), {}, "nas"),
        Store(Path("/nowhere")),
        "lab.py",
        dry=True,
    )
    measured = Measured(used * 10**9, NOW, NOW + 60) if limit else None
    usage = Usage(100 * 10**9, 50 * 10**9, NOW, measured)
    run.part(RegistryContext).found = RegistryHost(usage=usage)
    return run


USED = "12.0 of 30 GB are used (40 %)"
FULL = (
    "31.0 of 30 GB are used (103 %): new uploads are refused; run make make-room INVENTORY=lab.py "
    "(docs/by-task.md#the-disk-is-full) or raise "
    "registry_storage_limit"
)


@pytest.mark.parametrize(
    ("limit", "used", "row", "remark"),
    [
        (None, 0, None, None),
        ("30GB", 12, USED, None),
        ("30GB", 31, FULL, f"Storage: {FULL}"),
    ],
)
def test_how_full_the_storage_is(limit: str | None, used: int, row: str | None, remark: str | None) -> None:
    """A plan has no rows, and says only what is to be kept in mind."""
    run = of_storage(limit, used)
    shown = [(title, click.unstyle(text)) for title, text in standing._storage(run)]
    assert shown == ([("Storage", row)] if row else [])
    assert summary._remarks(run) == ([remark] if remark else [])


def test_of_a_registry_host_that_was_not_seen_nothing_is_said() -> None:
    assert standing.storage(lab()) == Summary()


def test_the_age_of_the_last_backup_is_said_by_a_run_that_served_nothing_too() -> None:
    run = lab()
    assert standing.lines(run) == []
    run.configuration = replace(run.configuration, backup_hosts=("pi",))
    assert standing.lines(run) == ["", "  Backup       no good backup yet (pi)"]
