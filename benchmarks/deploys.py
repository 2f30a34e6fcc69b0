"""Measure how long runs take, and write the results to benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from dataclasses import asdict
from importlib.metadata import version as installed
from pathlib import Path

from benchmarks.figures import FIRST_ROUNDS, PLAYBOOK_ROUNDS, ROUNDS, Figures, Sizes, log_progress, measure
from benchmarks.hosts import Hosts
from benchmarks.results import RESULTS, Row, page, rows
from benchmarks.tools import draw, make_environment, version

SIZES = Sizes(with_targets=(1, 10), with_ansible=(5,), pyinfra_only=(20,), simulated=(100, 200))


def run() -> list[Row]:
    """Measure, write figures, page and plot, and return a row for each target."""
    load = os.getloadavg()[0]
    environment = make_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress(f"booting {max(SIZES.pyinfra_only)} hosts")
        hosts = Hosts.start(max(SIZES.pyinfra_only), Path(folder))
        try:
            figures = measure(environment, hosts, SIZES)
        finally:
            hosts.fleet.remove()
    write(figures, environment, load)
    return rows(figures)


def write(figures: Figures, environment: Path, load: float) -> None:
    """Write figures, page and plot."""
    machine = [
        f"{os.cpu_count()} cores for all hosts and the controller; load average {load:.1f} before the benchmark",
        f"medians of {ROUNDS} runs without changes, {PLAYBOOK_ROUNDS} with Ansible (1 at sizes without a target), "
        f"and of {FIRST_ROUNDS} first runs",
        f"Python {platform.python_version()}, pyinfra {installed('pyinfra')}, "
        f"ansible-core {version(environment, 'ansible-core')}",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "figures.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (RESULTS / "README.md").write_text(page(figures, machine))
    draw(Path(__file__).parent / "plot.py", RESULTS / "figures.json", RESULTS / "growth.svg")
