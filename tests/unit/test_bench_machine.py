"""Requirements for hosts in containers that a machine lacks are named before any test begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import machine

ALL, NO_ADMIN = 0x1FFFFFFFFFF, 0x1FFFFDFFFFF


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that simulates a machine with all requirements except those given."""

    def make(
        *,
        user: int = 0,
        apt: bool = True,
        mounted: bool = True,
        capabilities: int = ALL,
        engine_runs: bool = False,
    ) -> None:
        (tmp_path / "cgroup").mkdir()
        (tmp_path / "status").write_text(f"Name:\tx\nCapBnd:\t{capabilities:016x}\n")
        if mounted:
            (tmp_path / "cgroup" / "systemd").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: user)
        monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get" if apt else None)
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(machine, "STATUS", tmp_path / "status")
        monkeypatch.setattr(machine, "engine_answers", lambda: engine_runs)

    return make


@pytest.mark.parametrize("has", [{}, {"engine_runs": True}, {"capabilities": NO_ADMIN, "engine_runs": True}])
def test_nothing_is_missing(make: Callable[..., None], has: dict[str, int]) -> None:
    make(**has)
    assert machine.missing_requirement() is None


@pytest.mark.parametrize(
    ("lacks", "start"),
    [
        ({"user": 1000}, "root's rights"),
        ({"apt": False}, "apt-get"),
        ({"mounted": False}, "control groups"),
        ({"capabilities": NO_ADMIN}, "Docker Engine and the capability SYS_ADMIN to start one"),
    ],
)
def test_a_missing_requirement_is_reported_in_one_line(
    make: Callable[..., None], lacks: dict[str, int], start: str
) -> None:
    make(**lacks)
    message = machine.missing_requirement()
    assert message
    assert message.partition(":")[0] == start
    assert "\n" not in message


def test_a_missing_engine_is_not_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert not machine.engine_answers()


@pytest.mark.parametrize(("before", "after"), [("128\n", "512\n"), ("512\n", "512\n"), ("8192\n", "8192\n")])
def test_the_inotify_limit_is_raised_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, after: str
) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text(before)
    monkeypatch.setattr(machine, "INOTIFY", limit)
    machine.raise_inotify_limit()
    assert limit.read_text() == after
