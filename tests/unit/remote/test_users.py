"""Scripts that run as a user of a host, in a real sh on a terminal of their own.

setpriv(1) is a fake, a program that changes no user, so that whoever runs the tests can.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.remote.users import User

ON_A_TERMINAL = (
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])))"
)


def run(folder: Path, script: str) -> tuple[int, str]:
    """Run a script on a terminal, and return its exit code and all it printed."""
    fake = folder / "setpriv"
    fake.write_text(
        '#!/bin/sh\necho "setpriv $1 $2 $3"\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", ON_A_TERMINAL, script],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, re.sub(r"\r\n", "\n", done.stdout)


OTHER = User("ci", os.geteuid() + 7, 4343, "/home/c i")
TERMINAL = "if ( : < /dev/tty ) 2>/dev/null; then echo terminal; else echo none; fi"


def test_a_user_has_no_access_to_the_terminal_of_root(tmp_path: Path) -> None:
    """With it, a user could insert input there for root."""
    assert run(tmp_path, TERMINAL) == (0, "terminal\n")
    assert run(tmp_path, OTHER.run(TERMINAL)) == (
        0,
        f"setpriv --reuid={OTHER.uid} --regid=4343 --init-groups\nnone\n",
    )


@pytest.mark.parametrize("code", [0, 1, 42, 124])
def test_the_exit_code_and_the_standard_input_are_the_script_s(tmp_path: Path, code: int) -> None:
    script = OTHER.run(f'read -r line; echo "$line|$HOME|$USER"; exit {code}')
    ended, output = run(tmp_path, f"printf 'a b\\n' | {{ {script}\n}}")
    assert (ended, output.splitlines()[-1]) == (code, "a b|/home/c i|ci")


def test_the_user_who_runs_it_already_is_not_switched(tmp_path: Path) -> None:
    own = User("me", os.geteuid(), os.getegid(), "/home/me")
    assert run(tmp_path, own.run("echo $HOME; exit 3")) == (3, "/home/me\n")
