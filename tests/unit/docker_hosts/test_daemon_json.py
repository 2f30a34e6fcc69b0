"""`registry-mirrors` in a `daemon.json`: reloaded, seen, and put back if Docker does not take it.

The steps run in a shell, with a fake engine: `systemctl reload` makes it read the file as dockerd does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks.docker_hosts import daemon_json
from tasks.remote.steps import Step

OURS, THEIRS = "https://mirror.homelab.local", "https://mirror.example.org"
DEBUG = '{\n  "debug": true,\n  "é": "p\\u0077"\n}\n'

# A key that is not in the file leaves what is in force (moby, daemon/reload.go).
ENGINE = r"""#!/usr/bin/env python3
import json, sys
from pathlib import Path
state, file, refuses = Path("state"), Path("daemon.json"), Path("refuses").exists()
if Path(sys.argv[0]).name == "docker":
    print(json.dumps(json.loads(state.read_text()) or None, separators=(",", ":")))
elif not refuses and file.exists():
    found = json.loads(file.read_text())
    if "registry-mirrors" in found:
        state.write_text(json.dumps([each.rstrip("/") + "/" for each in found["registry-mirrors"]]))
with open("calls", "a") as calls:
    print(*[Path(sys.argv[0]).name, *sys.argv[1:3]], file=calls)
"""


class Engine:
    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "daemon.json"
        for name in ("docker", "systemctl"):
            (folder / name).write_text(ENGINE)
            (folder / name).chmod(0o755)
        self.state(())

    def state(self, mirrors: Sequence[str]) -> None:
        (self.folder / "state").write_text(json.dumps([f"{each}/" for each in mirrors]))

    @property
    def in_force(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "state").read_text())
        return found

    def take(self, step: Step) -> tuple[int, str]:
        script = step.script.replace("+ 20)", "+ 1)")
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
            input=f"{step.stdin}\n".encode(errors="surrogateescape"),
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stderr.decode()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def steps(engine: Engine, wanted: Sequence[str], running: bool = True) -> list[Step]:
    text = engine.file.read_text() if engine.file.exists() else ""
    in_force = engine.in_force if running else None
    return daemon_json.steps(text, str(engine.file), wanted, [OURS], in_force, "why")


@pytest.mark.parametrize("before", [None, "{}", DEBUG, '{"debug": true}'])
def test_a_mirror_comes_into_force_and_goes_without_a_trace(engine: Engine, before: str | None) -> None:
    if before is not None:
        engine.file.write_text(before)
        engine.file.chmod(0o600)
    (added,) = steps(engine, [OURS])
    assert added.text == f"write {engine.file}: why\nreload Docker, and see that it takes it"
    assert engine.take(added) == (0, "")
    assert json.loads(engine.file.read_text())["registry-mirrors"] == [OURS]
    assert engine.in_force == [f"{OURS}/"]
    assert engine.file.stat().st_mode & 0o777 == (0o600 if before is not None else 0o644)
    assert steps(engine, [OURS]) == []
    (removed,) = steps(engine, [])
    assert engine.take(removed) == (0, "")
    assert engine.in_force == []
    assert (engine.file.read_text() if engine.file.exists() else None) == before
    assert steps(engine, []) == []


@pytest.mark.parametrize("before", [None, DEBUG])
@pytest.mark.parametrize("is_added", [True, False])
def test_the_file_from_before_is_put_back_if_docker_does_not_take_the_new_one(
    engine: Engine, before: str | None, is_added: bool
) -> None:
    if before is not None:
        engine.file.write_text(before)
    if not is_added:
        engine.take(steps(engine, [OURS])[0])
    was = engine.file.read_text() if engine.file.exists() else None
    (engine.folder / "refuses").touch()
    what = f"registry-mirrors {OURS}" if is_added else "no registry-mirrors"
    assert engine.take(steps(engine, [OURS] if is_added else [])[0]) == (
        1,
        f"Docker does not take {engine.file} with {what}, so the file from before is back; see journalctl -u docker\n",
    )
    assert (engine.file.read_text() if engine.file.exists() else None) == was
    assert (engine.folder / "calls").read_text().splitlines()[-1] == "systemctl reload docker"


def test_what_a_killed_run_wrote_is_reloaded_by_the_next(engine: Engine) -> None:
    engine.take(steps(engine, [OURS])[0])
    engine.state([])
    (reloaded,) = steps(engine, [OURS])
    assert engine.take(reloaded) == (0, "")
    assert engine.in_force == [f"{OURS}/"]


def test_a_mirror_of_the_user_s_stays_when_ours_goes(engine: Engine) -> None:
    engine.file.write_text(json.dumps({"registry-mirrors": [THEIRS, OURS]}))
    engine.state([THEIRS, OURS])
    (removed,) = steps(engine, [THEIRS])
    assert engine.take(removed) == (0, "")
    assert engine.file.read_text() == json.dumps({"registry-mirrors": [THEIRS]})
    assert engine.in_force == [f"{THEIRS}/"]


def test_an_engine_that_does_not_run_is_not_reloaded(engine: Engine) -> None:
    engine.file.write_text(json.dumps({"debug": True, "registry-mirrors": [OURS]}))
    (removed,) = steps(engine, [], running=False)
    assert engine.take(removed) == (0, "")
    assert engine.file.read_text() == '{"debug": true}'
    assert not (engine.folder / "calls").exists()


@pytest.mark.parametrize(
    ("text", "wanted"), [("", []), ("{}", []), (DEBUG, []), ('{"registry-mirrors": []}', [])]
)
def test_what_is_the_user_s_alone_is_left(engine: Engine, text: str, wanted: list[str]) -> None:
    engine.file.write_text(text)
    engine.state([THEIRS])  # the user has changed the file since Docker read it
    assert steps(engine, wanted) == []
