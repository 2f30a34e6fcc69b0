"""The results as a page: each target and its result, and run times by number of hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figures, Seconds
from benchmarks.hosts import count_hosts

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """A target and its result: `value` is to be at most or at least `bound`; `details` says what it is made of."""

    name: str
    value: float
    bound: float
    at_most: bool
    unit: str = "×"  # noqa: RUF001
    details: str = ""

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def cells(self) -> list[str]:
        """The row's texts: name, value, details, target, and whether it is reached."""
        value = f"{self.value:.0f}" if self.unit in {"commands", "MB"} else f"{self.value:.2f}"
        target = f"{'at most' if self.at_most else 'at least'} {self.bound:g} {self.unit}"
        return [self.name, f"{value} {self.unit}", self.details, target, "yes" if self.reached else "**no**"]


def rows(figures: Figures) -> list[Row]:
    """Return a row for each target."""
    found = [
        Row(
            f"re-run without changes against `pyinfra exec -- true`, {count_hosts(count)}",
            figures.deploy[count] / figures.nothing[count],
            2.5,
            at_most=True,
            details=f"{figures.deploy[count]:.2f} s against {figures.nothing[count]:.2f} s",
        )
        for count in (10,)
        if count in figures.deploy
    ]
    for name, bounds, ours, theirs in (
        ("re-run without changes against Ansible", {1: 8, 10: 15}, figures.deploy, figures.playbook),
        ("first run against Ansible", {1: 3, 10: 3}, figures.first_deploy, figures.first_playbook),
    ):
        found += [
            Row(
                f"{name}, {count_hosts(count)}",
                theirs[count] / ours[count],
                bound,
                at_most=False,
                details=f"{ours[count]:.2f} s against {theirs[count]:.1f} s",
            )
            for count, bound in bounds.items()
            if count in ours
        ]
    found += [
        Row(f"commands on a {kind}, re-run without changes", number, bound, at_most=True, unit="commands")
        for kind, number in figures.commands.items()
        # The registry host has two roles here, registry and Docker host, with three commands each.
        for bound in [6 if kind == "registry host" else 2]
    ]
    return found


def page(figures: Figures, machine: list[str]) -> str:
    """Return the results as Markdown; `machine` has lines about the machine and the versions."""
    growth = [
        [str(count), f"{seconds:.2f}", f"{figures.nothing[count]:.2f}", _cell(figures.playbook, count)]
        for count, seconds in sorted(figures.deploy.items())
    ] + [
        [f"{count}, simulated", f"{seconds:.2f}", f"{figures.fake_nothing[count]:.2f}", ""]
        for count, seconds in sorted(figures.fake_deploy.items())
    ]
    return "\n".join(
        [
            "# Results",
            "",
            "Written by `make bench`; [what is measured](../README.md). [The gateway's results](gateway.md).",
            "",
            *(f"- {line}" for line in machine),
            "",
            *table(["what", "measured", "", "target", "reached"], [row.cells for row in rows(figures)]),
            "",
            "Re-run without changes, seconds:",
            "",
            *table(["hosts", "deploy.py", "`pyinfra exec -- true`", "Ansible"], growth),
            "",
            "![seconds by number of hosts](growth.svg)",
            "",
        ]
    )


def _cell(seconds: Seconds, count: int) -> str:
    return f"{seconds[count]:.1f}" if count in seconds else ""


def table(head: list[str], body: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]
