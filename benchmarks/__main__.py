"""python -m benchmarks: measure, print each mark with what was reached, and write it to benchmarks/results/.

It ends with 1 where a mark is missed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version as installed
from pathlib import Path

from benchmarks.figures import FIRST_ROUNDS, PLAYBOOK_ROUNDS, ROUNDS, Figures, Sizes, measure, say
from benchmarks.hosts import Hosts
from benchmarks.results import page, rows
from benchmarks.tools import tools, version
from tests.bench.hosts import remove_leftovers

RESULTS = Path(__file__).parent / "results"

SIZES = Sizes(marked=(1, 10), compared=(5,), alone=(20,), simulated=(100, 200))


def main() -> int:
    """Measure and tell; return the exit code."""
    begun, load = time.monotonic(), os.getloadavg()[0]
    with_ansible = tools()
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        say(f"booting {max(SIZES.alone)} hosts")
        hosts = Hosts.start(max(SIZES.alone), Path(folder))
        try:
            figures = measure(with_ansible, hosts, SIZES)
        finally:
            hosts.fleet.remove()
    write(figures, with_ansible, load)
    for row in rows(figures):
        what, value, told, mark, reached = row.cells
        print(f"{what}: {value}{f' ({told})' if told else ''}, {mark}: {reached.strip('*')}")
    print(f"{RESULTS.relative_to(Path.cwd())}/ written after {(time.monotonic() - begun) / 60:.0f} minutes")
    return 0 if all(row.reached for row in rows(figures)) else 1


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
    subprocess.run(
        [str(with_ansible / "bin/python"), str(Path(__file__).parent / "plot.py"),
         str(RESULTS / "figures.json"), str(RESULTS / "growth.svg")],
        check=True,
    )  # fmt: skip


sys.exit(main())
