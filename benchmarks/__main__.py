"""python -m benchmarks [caches | deploys | gateway | rotations | storage]: measure, print and write the results.

Without an argument, all parts are measured. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import caches, deploys, storage
from benchmarks.gateway import rotations
from benchmarks.gateway import run as gateway
from benchmarks.results import RESULTS
from tests.bench.hosts import remove_leftovers

PARTS = {
    "deploys": deploys.run,
    "gateway": gateway.run,
    "rotations": rotations.run,
    "caches": caches.run,
    "storage": storage.run,
}


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("part", nargs="?", choices=PARTS, help="what to measure (default: all)")
    begun = time.monotonic()
    part = parser.parse_args().part
    remove_leftovers()
    rows = [row for name in ([part] if part else PARTS) for row in PARTS[name]()]
    for row in rows:
        name, value, details, target, reached = row.cells
        print(f"{name}: {value}{f' ({details})' if details else ''}, {target}: {reached.strip('*')}")
    print(f"{RESULTS.relative_to(Path.cwd())}/ written after {(time.monotonic() - begun) / 60:.0f} minutes")
    return 0 if all(row.reached for row in rows) else 1


sys.exit(main())
