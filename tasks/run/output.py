"""What a run prints while it works: each step once, with its time, and on a terminal a line that moves meanwhile.

All of it goes to standard error: standard output belongs to `--json`.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import click
import gevent

Mark = Literal["+", "x", "="]
COLORS = {"+": "green", "x": "red", "=": "cyan"}

MOVES_AFTER = 1.0
"""Seconds after which the moving line shows what is under way."""

_under_way: dict[object, tuple[float, str]] = {}
"""What is under way: when it began (`time.monotonic`), and the text for it."""


def write(mark: Mark, host: str, text: str) -> None:
    """Print a line: `+` is a step that was taken, or would be by a plan, `x` one that failed, `=` nothing to do."""
    click.echo(f"  {click.style(mark, COLORS[mark])} [{click.style(host, bold=True)}] {text}", err=True)


def with_time(text: str, seconds: float) -> str:
    """Return a step's text with its time, if that is a tenth of a second or more."""
    return f"{text} ({duration(seconds)})" if seconds >= 0.05 else text


def duration(seconds: float) -> str:
    """Return seconds for people: `0.3 s`, `4 s`, `1 min 12 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def under_way(text: str) -> Iterator[None]:
    """Let the moving line show a text, with its seconds, until the end of the block."""
    key = object()
    _under_way[key] = time.monotonic(), text
    try:
        yield
    finally:
        del _under_way[key]


def moving_line(now: float, width: int) -> str:
    """Return what is longest under way, if that is long enough to be shown, in one line of at most `width` columns."""
    shown = sorted(each for each in _under_way.values() if now - each[0] >= MOVES_AFTER)
    # What is under way on hosts says more than what all of it is for.
    shown = [each for each in shown if each[1].startswith("[")] or shown[:1]
    if not shown:
        return ""
    begun, text = shown[0]
    others = f" (and {len(shown) - 1} more)" if len(shown) > 1 else ""
    end = f" … {now - begun:.0f} s{others}"
    return f"    {text}"[: max(width - len(end), 0)] + end


def start_moving_line() -> None:
    """Have the moving line drawn from now on if standard error is a terminal."""
    if sys.stderr.isatty():
        gevent.spawn(_move)


def _move() -> None:
    drawn = False
    while True:
        gevent.sleep(0.2)
        line = moving_line(time.monotonic(), shutil.get_terminal_size().columns - 1)
        if line or drawn:
            sys.stderr.write(f"{line}\r")
            sys.stderr.flush()
            # Not flushed: whatever is printed next clears the line first, as pyinfra's own progress does.
            sys.stderr.write("\033[K")
        if drawn and not line:
            sys.stderr.flush()
        drawn = bool(line)
