"""python -m benchmarks [deploys | gateway | rotations]: measure, print each mark with what was reached, and write that.

Without a part all are measured. It ends with 1 where a mark is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import deploys
from benchmarks.gateway import rotations
from benchmarks.gateway import run as gateway
from benchmarks.results import RESULTS
from tests.bench.hosts import remove_leftovers

PARTS = {"deploys": deploys.run, "gateway": gateway.run, "rotations": rotations.run}


def main() -> int:
    """Measure and tell; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("part", nargs="?", choices=PARTS, help="what to measure; all, if not said")
    begun = time.monotonic()
    part = parser.parse_args().part
    remove_leftovers()
    rows = [row for name in ([part] if part else PARTS) for row in PARTS[name]()]
    for row in rows:
        what, value, told, mark, reached = row.cells
        print(f"{what}: {value}{f' ({told})' if told else ''}, {mark}: {reached.strip('*')}")
    print(f"{RESULTS.relative_to(Path.cwd())}/ written after {(time.monotonic() - begun) / 60:.0f} minutes")
    return 0 if all(row.reached for row in rows) else 1


sys.exit(main())
