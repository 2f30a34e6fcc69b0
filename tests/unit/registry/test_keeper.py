"""The keeper: when it is made and removed, and what its script does, run for real on a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.registry import containers, keeper
from tasks.registry import desired as layout
from tasks.registry import plan as registry
from tasks.registry.storage import MARK
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings
from tests.unit.registry.test_plan import IMAGES, TEMPLATES, converged, desire, inspected, texts

FOLDER = layout.FOLDER
LIMITED = desire(registry_storage_limit="30GB")
KEEPER = LIMITED.containers[-1]


def test_without_a_limit_there_is_no_keeper() -> None:
    assert [container.name for container in desire().containers] == [containers.REGISTRY, containers.GATEWAY]


def test_a_limit_touches_neither_the_registry_nor_the_gateway() -> None:
    found = converged(desire())
    assert texts(LIMITED, found) == [
        f"make {FOLDER}/keeper: it is missing",
        f"make {FOLDER}/gateway/limit: it is missing",
        f"write {FOLDER}/keeper/keeper.sh: it is missing",
        "create the container homelab-registry-keeper: it does not exist",
    ]
    assert texts(LIMITED, converged(LIMITED)) == []
    assert texts(desire(registry_storage_limit="40GB"), converged(LIMITED)) == [
        f"write {FOLDER}/keeper/keeper.sh: its content is not as it should be",
        "recreate the container homelab-registry-keeper: it was started in another way",
    ]
    assert texts(desire(registry_storage_limit="30GB", registry_storage_warn=90), converged(LIMITED)) == []


def test_a_limit_that_is_taken_out_takes_the_keeper_along() -> None:
    (step,) = registry.steps(desire(), converged(LIMITED))
    assert (
        step.text == "remove homelab-registry-keeper and what it measured: registry_storage_limit is not set"
    )
    assert (
        f"docker rm -f {keeper.NAME} >/dev/null && rm -rf {FOLDER}/keeper {FOLDER}/gateway/limit"
        in step.script
    )


def test_what_a_killed_run_left_of_a_keeper_goes_too() -> None:
    found = converged(desire())
    left = {**found.containers, keeper.NAME + containers.NEXT: inspected(KEEPER)}
    (step,) = registry.steps(desire(), replace(found, containers=left))
    assert f"docker rm -f {keeper.NAME}-next >/dev/null" in step.script


def test_a_container_of_that_name_that_is_not_ours_stays() -> None:
    found = converged(desire())
    foreign = {**inspected(KEEPER), "Config": {"Labels": None}}
    theirs = replace(found, containers={**found.containers, keeper.NAME: foreign})
    assert texts(desire(), theirs) == []
    with pytest.raises(Conflict, match="a container homelab-registry-keeper that this project did not make"):
        registry.steps(LIMITED, theirs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Status": "exited", "Running": False}, "it is exited"),
        ({"Status": "running", "Running": True, "Health": {"Status": "unhealthy"}}, "it is unhealthy"),
    ],
)
def test_a_keeper_that_does_not_measure_is_recreated(change: dict[str, object], reason: str) -> None:
    found = converged(LIMITED)
    report = inspected(KEEPER)
    report["State"] = {**report["State"], **change}
    dead = replace(found, containers={**found.containers, keeper.NAME: report})
    assert texts(LIMITED, dead) == [f"recreate the container homelab-registry-keeper: {reason}"]


def test_it_can_do_little() -> None:
    arguments = containers.create(KEEPER, KEEPER.digest)
    assert KEEPER.image == IMAGES["registry"]
    for argument in (
        "--network=none", "--user=60706:60706", "--read-only", "--cap-drop=ALL", "--memory=134217728", "--pids-limit=32",
        "--restart=unless-stopped", "--health-cmd=sh /etc/keeper/keeper.sh check",
        "--mount=type=bind,source=/var/lib/homelab-registry,target=/var/lib/registry,readonly",
        f"--mount=type=bind,source={FOLDER}/keeper,target=/etc/keeper,readonly",
        f"--mount=type=bind,source={FOLDER}/gateway/limit,target=/run/keeper",
    ):  # fmt: skip
        assert argument in arguments


class Running:
    """A keeper that runs: its script, with the paths of a container replaced by folders of ours."""

    def __init__(self, folder: Path, limit: str) -> None:
        self.storage, self.answers = folder / "storage", folder / "answers"
        self.refusal, self.figures = self.answers / keeper.REFUSAL, self.answers / keeper.FIGURES
        self.due = folder / "due"
        for each in (self.storage, self.answers):
            each.mkdir(exist_ok=True)
        (self.storage / MARK).touch()
        text = keeper.script(Settings(registry_storage_limit=limit), TEMPLATES)
        for there, here in (
            (containers.STORAGE, self.storage), (keeper.ANSWERS, self.answers), ("/tmp/due", self.due),
            ("/tmp/complaints", folder / "complaints"), ("sleep 10", "sleep 0.1"), ('"$pause" -ge 10', '"$pause" -ge 0'),
            ("pause=60", "pause=0"), ("pause=10", "pause=0"),
        ):  # fmt: skip
            assert there in text
            text = text.replace(there, str(here))
        self.script = folder / "keeper.sh"
        self.script.write_text(text)

    @contextmanager
    def running(self, **environment: str) -> Iterator[None]:
        """Run it while the block runs."""
        process = subprocess.Popen(
            ["sh", str(self.script)], env={**os.environ, **environment}, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def is_well(self) -> bool:
        return subprocess.run(["sh", str(self.script), "check"], check=False).returncode == 0

    def used(self) -> int:
        return int(self.figures.read_text().split()[0])


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def write_blob(folder: Path, name: str, size: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(os.urandom(size))
    return folder / name


def test_uploads_are_refused_at_the_limit_and_let_in_below_it(tmp_path: Path) -> None:
    """Hard links count once, as those of a snapshot."""
    made = Running(tmp_path, "1MB")
    blob = write_blob(made.storage, "blob", 600_000)
    (made.storage / "snapshot").hardlink_to(blob)
    with made.running():
        wait_for(made.figures.exists)
        assert 600_000 <= made.used() < 700_000
        assert not made.refusal.exists()
        more = write_blob(made.storage, "more", 600_000)
        wait_for(made.refusal.exists)
        (error,) = json.loads(made.refusal.read_text())["errors"]
        assert error == {
            "code": "DENIED",
            "message": "the registry's storage is full: 1.2 of 1 MB are used; run make make-room "
            "(docs/by-task.md#the-disk-is-full) or raise registry_storage_limit, and push again",
        }
        assert made.is_well()
        more.unlink()
        wait_for(lambda: not made.refusal.exists())
        wait_for(lambda: made.used() < 700_000)
    assert sorted(path.name for path in made.answers.iterdir()) == ["figures"]


@pytest.mark.parametrize("full", [True, False])
def test_what_cannot_be_measured_changes_nothing_and_is_reported(tmp_path: Path, full: bool) -> None:
    made = Running(tmp_path, "1MB")
    write_blob(made.storage, "blob", 1_200_000 if full else 600_000)
    with made.running():
        wait_for(made.figures.exists)
        wait_for(lambda: made.refusal.exists() == full)
    assert made.is_well()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "du").write_text(
        "#!/bin/sh\necho 'du: cannot read directory: Input/output error' >&2; echo 4 x; exit 1\n"
    )
    (tools / "du").chmod(0o755)
    before = made.figures.read_text()
    with made.running(PATH=f"{tools}:{os.environ['PATH']}"):
        wait_for(lambda: not made.is_well())
        assert (made.refusal.exists(), made.figures.read_text()) == (full, before)


def test_without_its_disk_the_folder_is_not_taken_for_empty(tmp_path: Path) -> None:
    made = Running(tmp_path, "1MB")
    made.refusal.write_text("the answer of before\n")
    (made.storage / MARK).unlink()
    with made.running():
        wait_for(made.due.exists)
        wait_for(lambda: not made.is_well())
    assert [path.name for path in made.answers.iterdir()] == [keeper.REFUSAL]


def test_files_that_go_meanwhile_are_no_error(tmp_path: Path) -> None:
    made = Running(tmp_path, "1MB")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "du").write_text(
        '#!/bin/sh\necho "du: cannot access \'x\': No such file or directory" >&2; echo "900 $2"; exit 1\n'
    )
    (tools / "du").chmod(0o755)
    with made.running(PATH=f"{tools}:{os.environ['PATH']}"):
        wait_for(made.figures.exists)
    assert (made.used(), made.is_well()) == (900 * 1024, True)


def test_growth_that_could_reach_the_limit_is_looked_at_before_its_time(tmp_path: Path) -> None:
    """Where du takes a second, twenty pass until the next. The disk's usage, which costs nothing, ends them."""
    made = Running(tmp_path, "2MB")
    calls, disk, tools = (tmp_path / name for name in ("calls", "disk", "tools"))
    disk.write_text("1 5000000 4000000\n")
    tools.mkdir()
    for name, body in {"du": f"echo >> {calls}; sleep 1.1; echo 1000 x", "stat": f"cat {disk}"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    with made.running(PATH=f"{tools}:{os.environ['PATH']}"):
        wait_for(made.figures.exists)
        begun = time.monotonic()
        disk.write_text("1 5000000 2900000\n")
        wait_for(lambda: len(calls.read_text()) == 2)
        assert time.monotonic() - begun < 15


def test_a_new_keeper_measures_by_the_new_limit(tmp_path: Path) -> None:
    made = Running(tmp_path, "1MB")
    write_blob(made.storage, "blob", 1_200_000)
    with made.running():
        wait_for(made.refusal.exists)
    lower = Running(tmp_path, "1.1MB")
    with lower.running():
        wait_for(lambda: "1.2 of 1.1 MB" in lower.refusal.read_text())
    with Running(tmp_path, "2MB").running():
        wait_for(lambda: not made.refusal.exists())


def test_the_same_figures_are_not_written_again_and_again(tmp_path: Path) -> None:
    """A memory card would wear out."""
    made = Running(tmp_path, "1MB")
    write_blob(made.storage, "blob", 1_200_000)
    with made.running():
        wait_for(made.refusal.exists)
        wait_for(made.figures.exists)
        written = [path.stat().st_mtime_ns for path in (made.refusal, made.figures)]
        looked = made.due.stat().st_mtime_ns
        wait_for(lambda: made.due.stat().st_mtime_ns > looked + 10**9)
        assert [path.stat().st_mtime_ns for path in (made.refusal, made.figures)] == written


def test_its_script_is_plain_shell() -> None:
    text = keeper.script(Settings(registry_storage_limit="30GB"), TEMPLATES)
    for shell in ("sh", "bash", *filter(None, [shutil.which("busybox")])):
        command = [shell, "sh", "-n"] if shell.endswith("busybox") else [shell, "-n"]
        subprocess.run(command, input=text, text=True, check=True)
