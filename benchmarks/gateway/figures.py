"""Measure the gateway and its contenders."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median

from benchmarks.figures import log_progress
from benchmarks.gateway import guesses, load, memory
from benchmarks.gateway.contenders import STORAGE_FOLDER, Contenders

BLOB = 64
"""MB of the blob that is downloaded."""

LAYERS, LAYER = 5, 100
"""Layers of the image that is pushed, and MB of each."""

CLIENTS = 32
LARGE = 5000
"""MB of the large layer."""

FREE_SPACE = 4 * LARGE
"""MB that must be free for the large layer, which exists as a file and in the registry, beside other data."""

KINDS = tuple((protocol, streams) for protocol in ("HTTP/1.1", "HTTP/2") for streams in (1, 4))


@dataclass(frozen=True)
class Workload:
    """How much to measure: rounds; in each round seconds of requests and GETs of a blob; wrong logins of each kind.

    `slow_seconds` are the seconds for the stock registry: it takes almost one for an answer, and requests that are
    unfinished at the end do not count.
    """

    rounds: int = 7
    seconds: int = 3
    slow_seconds: int = 10
    blobs: int = 12
    guesses: int = 300


@dataclass
class VersionFigures:
    """Medians with one version of the registry, by contender.

    `requests` per second; `blobs` in MB/s, by kind of GET; `push` in MB/s; `guesses` in ms, for an unknown account and
    for a wrong password; `memory` in MB, of both containers when idle and at most.
    """

    requests: dict[str, float] = field(default_factory=dict)
    blobs: dict[str, dict[str, float]] = field(default_factory=dict)
    push: dict[str, float] = field(default_factory=dict)
    guesses: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)


@dataclass
class Figures:
    """All results. `large` is for a layer of 5 GB, and empty if the disk has not enough space."""

    versions: dict[str, VersionFigures] = field(default_factory=dict)
    large: dict[str, float] = field(default_factory=dict)


def measure(contenders: Contenders, workload: Workload) -> Figures:
    """Measure with Debian's distribution 2.8, and then with 3.1.2."""
    figures = Figures()
    blob = load.make_image(contenders, 1, BLOB)
    contenders.crane(f"push {load.LAYOUT} {contenders.reference('gateway', 'blob')}:v1")
    figures.versions["2.8"] = _measure_version(contenders, workload, blob)
    log_progress("a layer of 5 GB")
    figures.large = large(contenders)
    log_progress("upgrading to distribution 3.1.2")
    contenders.upgrade()
    figures.versions["3.1.2"] = _measure_version(contenders, workload, blob)
    return figures


def _measure_version(contenders: Contenders, workload: Workload, blob: str) -> VersionFigures:
    found = VersionFigures()
    log_progress("manifests")
    found.requests = in_turns(
        workload.rounds,
        {
            name: partial(load.requests, contenders, name, "/v2/blob/manifests/v1", seconds)
            for name, seconds in (
                ("gateway", workload.seconds),
                ("bare", workload.seconds),
                ("stock", workload.slow_seconds),
            )
        },
    )
    hexadecimal = blob.removeprefix("sha256:")
    paths = {"gateway": f"/v2/blob/blobs/{blob}", "static": f"/{hexadecimal[:2]}/{hexadecimal}/data"}
    for protocol, streams in KINDS:
        log_progress(f"a blob, {kind(protocol, streams)}")
        found.blobs[kind(protocol, streams)] = in_turns(
            workload.rounds,
            {
                name: partial(load.blobs, contenders, name, path, protocol, streams, workload.blobs)
                for name, path in paths.items()
            },
        )
    log_progress("pushes")
    pushes = {name: partial(load.push, contenders, name, "pushed:v1") for name in ("gateway", "bare_tls")}
    seconds = in_turns(workload.rounds, pushes, partial(load.make_image, contenders, LAYERS, LAYER))
    found.push = {name: LAYERS * LAYER / each for name, each in seconds.items()}
    log_progress("wrong passwords")
    found.guesses = guesses.medians(contenders.gateway, workload.guesses)
    log_progress(f"memory under {CLIENTS} pulls and {CLIENTS} pushes")
    load.make_image(contenders, 1, BLOB)
    idle, most = memory.watch_many_clients(contenders, "blob:v1", CLIENTS)
    found.memory = {"idle": idle.both, "most": most.both}
    return found


def large(contenders: Contenders) -> dict[str, float]:
    """Push and pull a layer of 5 GB; return MB/s, and the maximum that the gateway used above idle."""
    free = int(
        contenders.host.run(f"df --output=avail -BMB {STORAGE_FOLDER} | tail -n 1").stdout.strip(" MB\n")
    )
    if free < FREE_SPACE:
        return {}
    digest = load.make_image(contenders, 1, LARGE)
    name = contenders.reference("gateway", "large")
    found = {}
    for what, command in (
        ("push", f"push {load.LAYOUT} {name}:v1"),
        ("pull", f"blob {name}@{digest}"),
    ):
        begun = time.monotonic()
        idle, most = memory.watch(contenders, contenders.with_crane(command))
        found[what] = LARGE / (time.monotonic() - begun)
        found |= {f"{what}_{part}": value - asdict(idle)[part] for part, value in asdict(most).items()}
    contenders.host.run(f"rm -rf {load.LAYOUT}")
    return found


def kind(protocol: str, streams: int) -> str:
    """Return the name of a kind of GETs."""
    return f"{protocol}, {streams} stream{'s' if streams > 1 else ''}"


def in_turns(
    rounds: int, contenders: Mapping[str, Callable[[], float]], before: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Measure each contender in turn, in reverse order in every other round, and return the medians.

    Taking turns spreads other load on the machine over all contenders. A warm-up round does not count. `before` is
    called before each round.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        before()
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            value = contenders[name]()
            if turn:
                taken[name].append(value)
    return {name: median(values) for name, values in taken.items()}
