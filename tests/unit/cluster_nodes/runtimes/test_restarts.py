"""A runtime's restart, in a real sh with fakes of systemctl and ctr: what is kept, put back and said."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.cluster_nodes.node import Node
from tasks.cluster_nodes.runtimes import restarts
from tasks.cluster_nodes.runtimes.restarts import Restarts
from tasks.remote import files
from tests.unit.cluster_nodes.runtimes.test_containerd import file

BAD, GOOD = "bad = 1\n", "good = 1\n"
WHY = "invalid plugin config: `mirrors` cannot be set"

# A containerd with a CRI unless its configuration has "bad" in it, and that does not start at all with "worse".
CTR = f"""#!/bin/sh
grep -qs worse CONFIG && exit 1
state=ok; ! grep -qs bad CONFIG || state=error
echo "TYPE ID PLATFORMS STATUS"; echo "io.containerd.grpc.v1 cri linux/amd64 $state"
case $* in (*-d*) [ $state = ok ] || echo '  Message:   {WHY}' ;; esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$*" >> LOG
case $1 in
    (restart) ! grep -qs worse CONFIG ;;
    (show) ! grep -qs worse CONFIG || echo auto-restart ;;
esac
"""


@dataclass
class FakeHost:
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "etc/config.toml"

    @property
    def service(self) -> Restarts:
        return Restarts("containerd", "containerd", "containerd.service", "fake-ctr --address /x", 2)

    @property
    def kept(self) -> Path:
        return Path(self.service.kept)

    @property
    def restarted(self) -> int:
        log = self.folder / "log"
        return log.read_text().count("restart containerd.service\n") if log.exists() else 0

    def run(self, script: str, stdin: str | None = None) -> tuple[int, str]:
        path = {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        given = None if stdin is None else f"{stdin}\n"
        done = subprocess.run(
            ["sh", "-c", script], input=given, env=path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    def write(self, text: str) -> tuple[int, str]:
        step = files.rewrite(str(self.config), text, "x", first=self.service.keep_first())
        return self.run(step.script, step.stdin)

    def restart(self) -> tuple[int, str]:
        return self.run(self.service.restart("x").script)

    def resume(self) -> tuple[int, str]:
        found = Node(paths={self.service.kept: file("")}, failing={"containerd.service"})
        [step] = self.service.resume(found)
        return self.run(step.script)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    monkeypatch.setattr(restarts, "KEPT", f"{tmp_path}/kept")
    found = FakeHost(tmp_path)
    (tmp_path / "bin").mkdir()
    for name, text in {"fake-ctr": CTR, "systemctl": SYSTEMCTL}.items():
        program = tmp_path / "bin" / name
        program.write_text(text.replace("CONFIG", str(found.config)).replace("LOG", str(tmp_path / "log")))
        program.chmod(0o755)
    found.config.parent.mkdir()
    found.config.write_text("mine = 1\n")
    found.config.chmod(0o640)
    return found


def test_what_is_kept_is_for_root_alone_and_gone_after_the_restart(host: FakeHost) -> None:
    assert host.write(GOOD) == (0, "")
    before = Path(f"{host.kept}{host.config}")
    assert (before.read_text(), before.stat().st_mode & 0o777) == ("mine = 1\n", 0o640)
    assert host.kept.parent.stat().st_mode & 0o777 == 0o700
    assert host.restart() == (0, "")
    assert (host.config.read_text(), host.kept.parent.exists(), host.restarted) == (GOOD, False, 1)


@pytest.mark.parametrize(
    ("text", "why"), [(BAD, WHY), ("worse = 1\n", "see journalctl -u containerd.service")]
)
def test_the_file_from_before_is_put_back(text: str, why: str, host: FakeHost) -> None:
    assert host.write(text) == (0, "")
    code, said = host.restart()
    assert (code, said) == (
        1,
        f"containerd did not come up with its new configuration ({why}); the one from before is back, and it runs with "
        f"that; what failed is {host.service.failed}\n",
    )
    assert (host.config.read_text(), host.config.stat().st_mode & 0o777) == ("mine = 1\n", 0o640)
    assert (Path(host.service.failed).read_text(), host.kept.exists(), host.restarted) == (text, False, 2)
    assert [path.name for path in host.config.parent.iterdir()] == ["config.toml"]


def test_a_file_that_was_not_there_is_removed_again(host: FakeHost) -> None:
    host.config.unlink()
    assert host.write(BAD) == (0, "")
    assert host.restart()[0] == 1
    assert not host.config.exists()
    assert Path(host.service.failed).read_text() == BAD


def test_a_runtime_that_does_not_answer_before_is_not_touched(host: FakeHost) -> None:
    host.config.write_text(BAD)
    assert host.write(GOOD) == (
        1,
        f"nothing was changed: the CRI of containerd does not answer as it is ({WHY})\n",
    )
    (host.folder / "bin/fake-ctr").unlink()
    assert host.write(GOOD) == (
        1,
        "nothing was changed: there is no fake-ctr to ask the CRI of containerd with\n",
    )
    assert (host.config.read_text(), host.kept.exists(), host.restarted) == (BAD, False, 0)
    assert [path.name for path in host.config.parent.iterdir()] == ["config.toml"]


def test_a_restart_without_a_change_says_that_nothing_can_be_put_back(host: FakeHost) -> None:
    host.config.write_text(BAD)
    assert host.restart() == (
        1,
        f"the CRI of containerd does not answer after the restart ({WHY}); no file was changed before it\n",
    )
    assert host.config.read_text() == BAD


def test_a_runtime_that_comes_up_with_neither_is_said(host: FakeHost) -> None:
    host.write(GOOD)
    Path(f"{host.kept}{host.config}").write_text("worse = 1\n")  # its owner's edit, not read until now
    host.config.write_text(BAD)
    code, said = host.restart()
    assert (code, "comes up neither with its new configuration" in said) == (1, True)
    assert host.config.read_text() == "worse = 1\n"


@pytest.mark.parametrize("text", [GOOD, BAD])
def test_a_killed_run_is_finished_by_the_next(text: str, host: FakeHost) -> None:
    host.write(text)
    (host.kept / ".new").write_text("half a fi")  # killed while it kept a second file
    code, said = host.resume()
    if text == GOOD:
        assert (code, said, host.restarted) == (0, "", 0)
    else:
        assert (code, "the one from before is back" in said, host.restarted) == (1, True, 1)
    assert host.config.read_text() == (GOOD if text == GOOD else "mine = 1\n")
    assert not host.kept.exists()
    assert not Path("/.new").exists()
