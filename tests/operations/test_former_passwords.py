"""What the controller keeps of former passwords if a run was killed or a host was not finished."""

from __future__ import annotations

import datetime as dt
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tasks.accounts import passwords
from tasks.accounts.passwords import FormerPassword
from tests.operations.runs import AT_ONCE, ROOT
from tests.operations.test_command_line import STEM, answering_hosts
from tests.operations.test_custom_password import ran, store


def test_a_rotation_that_was_killed_before_it_wrote_the_password_is_finished(tmp_path: Path) -> None:
    made = store(tmp_path, **{name: passwords.generate() for name in ("admin", "ci", "cluster")})
    before = made.read()
    noted = FormerPassword(before.hashes["ci"], dt.datetime.now(dt.UTC), ("@fake/pi",))
    made.write_former({"ci": noted})
    found = ran(tmp_path)
    assert "] generate a password for ci: a run that was killed was to make a new one" in found.output
    after = made.read()
    assert after.former == {"ci": noted}
    assert {name for name in before.passwords if before.passwords[name] != after.passwords[name]} == {"ci"}


def on_terminal(typed: str, *arguments: str) -> str:
    """Run pyinfra on a terminal of its own, at which this text was typed, and return what it shows."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "pyinfra", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **AT_ONCE}, stdin=its, stdout=its, stderr=its
    ):
        os.close(its)
        os.write(ours, typed.encode())
        shown = b""
        with suppress(OSError):  # EIO, when the other end is closed (pty(7))
            while read := os.read(ours, 65536):
                shown += read
    os.close(ours)
    return shown.decode()


def test_a_host_that_failed_in_the_plan_does_not_count_as_finished(tmp_path: Path) -> None:
    """Without `-y` a plan comes first, in the same process, and pyinfra asks whether to go on at a host that failed."""
    inventory = tmp_path / f"{STEM}.py"
    inventory.write_text(answering_hosts().replace("'listener|'", "'listener|apache2'"))
    state = f"registry_state_dir={tmp_path}/state"
    said = on_terminal("\n" * 5, "--data", state, str(inventory), "deploy.py")
    assert "port 443 is taken by apache2" in said
    assert "@fake/pi] the registry host @fake/nas is not finished" in said
