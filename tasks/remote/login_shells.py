"""Commands that any login shell understands."""

from __future__ import annotations


def for_any_shell(command: str) -> str:
    """Return a command as csh, fish and every POSIX shell parse it alike: sshd gives it to the user's login shell.

    Between single quotes csh knows line breaks and `!`, and fish backslashes. printf(1) puts them back, by `%b`.
    """
    escaped = command.translate({ord(each): f"\\0{ord(each):03o}" for each in "\\'!\n"})
    return f"sh -c 'eval \"$(printf %b \"$1\")\"' sh '{escaped}'"
