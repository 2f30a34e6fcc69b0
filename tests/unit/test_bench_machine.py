"""What a machine lacks for hosts in containers is named before any test begins."""

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
    """Make this machine one that has all, but for what is given."""

    def make(
        *, user: int = 0, apt: bool = True, mounted: bool = True, may: int = ALL, answers: bool = False
    ) -> None:
        (tmp_path / "cgroup").mkdir()
        (tmp_path / "status").write_text(f"Name:\tx\nCapBnd:\t{may:016x}\n")
        if mounted:
            (tmp_path / "cgroup" / "systemd").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: user)
        monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get" if apt else None)
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(machine, "STATUS", tmp_path / "status")
        monkeypatch.setattr(machine, "engine_answers", lambda: answers)

    return make


@pytest.mark.parametrize("has", [{}, {"answers": True}, {"may": NO_ADMIN, "answers": True}])
def test_nothing_is_missing(make: Callable[..., None], has: dict[str, int]) -> None:
    make(**has)
    assert machine.missing_requirement() is None


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"user": 1000}, "root's rights"),
        ({"apt": False}, "apt-get"),
        ({"mounted": False}, "control groups"),
        ({"may": NO_ADMIN}, "Docker Engine and the capability SYS_ADMIN to start one"),
    ],
)
def test_what_is_missing_is_one_line(make: Callable[..., None], lacks: dict[str, int], said: str) -> None:
    make(**lacks)
    told = machine.missing_requirement()
    assert told
    assert told.partition(":")[0] == said
    assert "\n" not in told


def test_no_engine_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert not machine.engine_answers()
