"""Measure the gateway, and write the results to benchmarks/results/."""

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


def run(workload: Workload | None = None, target: Path = RESULTS) -> list[Row]:
    """Measure, write figures, page and plot, and return a row for each target."""
    workload, load = workload or Workload(), os.getloadavg()[0]
    make_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress("booting the registry's host")
        contenders = Contenders.start(Path(folder))
        try:
            figures = measure(contenders, workload)
        finally:
            contenders.host.remove()
    write(figures, workload, load, target)
    return rows(figures)


def write(figures: Figures, workload: Workload, load: float, target: Path) -> None:
    """Write figures, page and plot."""
    machine = [
        f"{os.cpu_count()} cores for contenders and clients; load average {load:.1f} before the benchmark",
        f"medians of {workload.rounds} rounds in turns, after a warm-up round: {workload.seconds} s of manifests "
        f"({workload.slow_seconds} s on the stock registry), {workload.blobs} GETs of a blob, a push of a new image; "
        f"{workload.guesses} wrong logins of each kind",
        f"bcrypt hashes of cost {GENERATED_COST} (generated passwords); on the stock registry of cost {STOCK_COST}",
    ]
    target.mkdir(exist_ok=True)
    (target / "gateway.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (target / "gateway.md").write_text(page(figures, machine))
    draw(Path(__file__).parent / "plot.py", target / "gateway.json", target / "gateway.svg")
