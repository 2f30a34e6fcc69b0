"""Measure the gateway and write it to benchmarks/results/."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import log_progress
from benchmarks.gateway.contenders import STOCK_COST, Contenders
from benchmarks.gateway.figures import Figures, Workload, measure
from benchmarks.gateway.results import page, rows
from benchmarks.results import RESULTS, Row
from benchmarks.tools import draw, make_environment
from tasks.accounts.passwords import GENERATED_COST


def run(effort: Workload | None = None, target: Path = RESULTS) -> list[Row]:
    """Measure, write figures, page and plot, and return the marks."""
    effort, load = effort or Workload(), os.getloadavg()[0]
    make_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress("booting the registry's host")
        contenders = Contenders.start(Path(folder))
        try:
            figures = measure(contenders, effort)
        finally:
            contenders.host.remove()
    write(figures, effort, load, target)
    return rows(figures)


def write(figures: Figures, effort: Workload, load: float, target: Path) -> None:
    """Write figures, page and plot."""
    machine = [
        f"{os.cpu_count()} cores, which the contenders share with the clients; {load:.1f} processes on average "
        "were busy with other things before",
        f"medians of {effort.rounds} rounds in turns after one that does not count: {effort.seconds} s of manifests "
        f"({effort.slow_seconds} s of the stock registry's), {effort.blobs} GETs of a blob, or a push of a new image; "
        f"of {effort.guesses} guesses of each kind",
        f"generated passwords (bcrypt's cost {GENERATED_COST}); the stock registry's has the cost {STOCK_COST}",
    ]
    target.mkdir(exist_ok=True)
    (target / "gateway.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (target / "gateway.md").write_text(page(figures, machine))
    draw(Path(__file__).parent / "plot.py", target / "gateway.json", target / "gateway.svg")
