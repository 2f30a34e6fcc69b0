"""Measure how long runs take and write it to benchmarks/results/."""

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

SIZES = Sizes(marked=(1, 10), compared=(5,), alone=(20,), simulated=(100, 200))


def run() -> list[Row]:
    """Measure, write figures, page and plot, and return the marks."""
    load = os.getloadavg()[0]
    with_ansible = make_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress(f"booting {max(SIZES.alone)} hosts")
        hosts = Hosts.start(max(SIZES.alone), Path(folder))
        try:
            figures = measure(with_ansible, hosts, SIZES)
        finally:
            hosts.fleet.remove()
    write(figures, with_ansible, load)
    return rows(figures)


def write(figures: Figures, with_ansible: Path, load: float) -> None:
    """Write figures, page and plot."""
    machine = [
        f"{os.cpu_count()} cores, which the hosts share with what runs on them; {load:.1f} processes on average "
        "were busy with other things before",
        f"medians of {ROUNDS} runs without changes, {PLAYBOOK_ROUNDS} of them with Ansible (1 where there is no mark), "
        f"and of {FIRST_ROUNDS} first runs",
        f"Python {platform.python_version()}, pyinfra {installed('pyinfra')}, "
        f"ansible-core {version(with_ansible, 'ansible-core')}",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "figures.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (RESULTS / "README.md").write_text(page(figures, machine))
    draw(Path(__file__).parent / "plot.py", RESULTS / "figures.json", RESULTS / "growth.svg")
