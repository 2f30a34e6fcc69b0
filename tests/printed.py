"""What a run has printed, without colors, taken apart."""

from __future__ import annotations

import re

TIME = r"(?: \((?:\d+ min )?\d+(?:\.\d)? s\))?"
"""The time of a step, which a plan does not have."""


def steps(output: str, host: str | None = None) -> list[str]:
    """Return the steps that were taken, or planned, without their times; of one host or of all."""
    return _marked(r"\+", output, host)


def failed(output: str, host: str | None = None) -> list[str]:
    """Return the steps that failed."""
    return _marked("x", output, host)


def reasons(output: str, host: str | None = None) -> list[str]:
    """Return why there was nothing to do, of a run with `-v`."""
    return [line.removeprefix("nothing to do: ") for line in _marked("=", output, host)]


def _marked(mark: str, output: str, host: str | None) -> list[str]:
    name = re.escape(host) if host else r"[^\]]+"
    return re.findall(rf"^  {mark} \[{name}\] (.*?){TIME}$", output, re.MULTILINE)


def row(output: str, title: str) -> str:
    """Return what the end of a run says under a title, such as `Trusted by`; empty if it has no such row."""
    found = re.search(rf"^  {title:<12} (.*)$", output, re.MULTILINE)
    return found[1] if found else ""


def by_runtime(output: str, title: str) -> dict[str, list[str]]:
    """Return the hosts by their runtime in a row of the form `nas, pi (Docker) · k3s-1 (K3s)`."""
    found = (re.fullmatch(r"(.*?) \((.*)\)", part) for part in row(output, title).split(" · "))
    return {match[2]: match[1].split(", ") for match in found if match}


def to_paste(output: str, heading: str) -> list[str]:
    """Return the commands that a run prints below a heading, as they are pasted."""
    _, _, after = output.partition(f"\n{heading}\n")
    block, _, _ = after.partition("\n\n")
    return [line.strip() for line in block.splitlines() if line.startswith("  ")]


def not_finished(output: str) -> list[str]:
    """Return the lines at the end that name what is not finished, and why."""
    _, _, after = output.partition("Not finished:")
    return [line.strip() for line in after.splitlines() if line.strip().startswith("[")]
