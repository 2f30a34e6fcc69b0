"""Commands over SSH mean the same to every login shell; tests/fleet asks tcsh."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tasks.remote.login_shells import for_any_shell

TEXTS = [
    "",
    "plain",
    "two\nlines\n\nand no end",
    "a 'b' \"c\" $HOME `id` $(id) !! !x \\ \\n \\\\ \\c \\0101 %s %b \t é ~ * # ; & |",
    "it ends with a backslash \\",
    "'",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_command_and_its_input_arrive_to_the_byte(shell: str, text: str) -> None:
    command = f"sh -c {shlex.quote(f'cat; printf %s {shlex.quote(text)}')}"
    done = subprocess.run(
        [shell, "-c", for_any_shell(command)], input=b"in\n", capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"in\n" + text.encode(), b"")


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_left_that_csh_or_fish_read_in_another_way(text: str) -> None:
    """csh(1) ends a word at a line break and expands `!` within quotes; fish unescapes a quote and a backslash."""
    sent = for_any_shell(text)
    assert sent.count("'") == 4
    assert not {"!", "\n"} & set(sent)
    assert not {"\\\\", "\\'"} & {sent[at : at + 2] for at in range(len(sent))}
