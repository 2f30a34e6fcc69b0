"""Measure how long it takes to read what a large registry stores, and write the results to benchmarks/results/."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import log_progress
from benchmarks.results import RESULTS, Row, table
from tasks.storage.facts import StorageFact
from tasks.storage.faults import faults
from tasks.storage.graph import Graph
from tests.stored_folder import StoredFolder

REPOSITORIES = 100
LAYERS = 7
"""Of an image: as many as a program of one's own on a common base has. Two of them are new in each image."""

ROUNDS = 5


@dataclass(frozen=True)
class Figures:
    """Medians in CPU seconds: of the fact's script, of `du -s`, and of the controller's part. `sent` is in bytes."""

    tags: int
    blobs: int
    script: float
    du: float
    parse: float
    graph: float
    sent: int


def run() -> list[Row]:
    """Measure, write figures and page, and return a row for each target."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress("writing a registry's folder of 20,000 blobs")
        write_folder(Path(folder), tags=5000)
        figures = measure(Path(folder), ROUNDS)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "storage.json").write_text(json.dumps(asdict(figures), indent=2) + "\n")
    (RESULTS / "storage.md").write_text(page(figures, load))
    return rows(figures)


def write_folder(path: Path, tags: int) -> None:
    """Write a folder with that many tags, an image each: four blobs for a tag."""
    folder = StoredFolder(path)
    for number in range(tags):
        repository = number % REPOSITORIES
        new = number // REPOSITORIES
        layers = [f"{repository}: {2 * new - age}".encode() * 10 for age in range(LAYERS)]
        folder.image(f"team-{repository % 10}/app-{repository}", layers, f"v{new}")


def measure(path: Path, rounds: int) -> Figures:
    """Read the folder in turns with `du -s`, after a round that does not count."""
    seconds: dict[str, list[float]] = {"script": [], "du": [], "parse": [], "graph": []}
    command = ["sh", "-c", StorageFact().command(str(path))]
    for _ in range(rounds + 1):
        with cpu_time(seconds["script"]):
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        with cpu_time(seconds["du"]):
            subprocess.run(["du", "-s", path], capture_output=True, check=True)
        with cpu_time(seconds["parse"]):
            stored = StorageFact().process(output.splitlines())
        with cpu_time(seconds["graph"]):
            graph = Graph(stored)
            free = sum(graph.freed(stored.tags)) + stored.size(graph.unreferenced)
            assert (free, graph.untagged, faults(stored)) == (stored.used, {}, {})
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    return Figures(len(stored.tags), len(stored.blobs), **medians, sent=len(output))


@contextmanager
def cpu_time(times: list[float]) -> Iterator[None]:
    """Append the CPU seconds of the block, with those of the programs that it starts."""
    begun = _cpu_seconds()
    yield
    times.append(_cpu_seconds() - begun)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def rows(figures: Figures) -> list[Row]:
    """Return a row for each target."""
    what = f"read {figures.blobs:,} blobs and {figures.tags:,} tags"
    made = (
        f"{figures.parse:.2f} s to parse {figures.sent / 10**6:.1f} MB, {figures.graph:.2f} s for the graph"
    )
    against = f"{figures.script:.2f} s against {figures.du:.2f} s"
    return [
        Row(f"{what}: the host's part", figures.script, 2, at_most=True, unit="s"),
        Row(
            f"{what}: the host's part against `du -s`",
            figures.script / figures.du,
            2.5,
            True,
            details=against,
        ),
        Row(f"{what}: the controller's part", figures.parse + figures.graph, 1, True, unit="s", details=made),
    ]


def page(figures: Figures, load: float) -> str:
    """Return the results as Markdown."""
    return "\n".join(
        [
            "# What a registry stores",
            "",
            "Written by `make bench`; [what is measured](../README.md#what-a-registry-stores).",
            "",
            f"- {os.cpu_count()} cores; load average {load:.1f} before the benchmark",
            f"- CPU seconds, medians of {ROUNDS} rounds in turns, after a round that does not count",
            "",
            *table(["what", "measured", "", "target", "reached"], [row.cells for row in rows(figures)]),
            "",
        ]
    )
