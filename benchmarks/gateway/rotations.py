"""Rotate the certificate under constant load: of the gateway by a run, of the stock registry by a restart."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import log_progress
from benchmarks.gateway.contenders import Contenders
from benchmarks.gateway.load import LAYOUT, MANIFEST, make_image
from benchmarks.results import RESULTS, Row, table
from benchmarks.tools import make_environment

ROTATIONS = 5
SECONDS = {"gateway": 60, "stock": 60}
DEPLOY = "deploys/rotate_certificate.py"


@dataclass(frozen=True)
class RequestCounts:
    """How many requests were answered, and how many failed: with an error status, or without an answer."""

    answered: int
    failed: int


def run(target: Path = RESULTS) -> list[Row]:
    """Measure, write the page, and return the target's row."""
    make_environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log_progress("booting the registry's host")
        contenders = Contenders.start(Path(folder))
        try:
            make_image(contenders, 1, 1)
            contenders.crane(f"push {LAYOUT} {contenders.reference('gateway', 'small')}:v1")
            found = {
                name: _rotate_under_load(contenders, name, rotate)
                for name, rotate in (("gateway", _rotate_certificate), ("stock", _restart_stock))
            }
        finally:
            contenders.host.remove()
    rows = [
        Row(
            f"requests that fail in {ROTATIONS} rotations of the certificate, of {found['gateway'].answered}",
            found["gateway"].failed,
            0,
            at_most=True,
            unit="requests",
            details=f"stock registry, restarted: {found['stock'].failed} beside {found['stock'].answered} answered",
        )
    ]
    lines = table(["what", "measured", "", "target", "reached"], [row.cells for row in rows])
    (target / "rotations.md").write_text("\n".join(["# Rotations under load", "", *lines, ""]))
    return rows


def _rotate_certificate(contenders: Contenders) -> None:
    ran = contenders.gateway.deployment.run(deploy=DEPLOY)
    if ran.exit_code:
        raise RuntimeError(ran.output)


def _restart_stock(contenders: Contenders) -> None:
    contenders.host.run("docker restart stock")


def _rotate_under_load(
    contenders: Contenders, name: str, rotate: Callable[[Contenders], None]
) -> RequestCounts:
    log_progress(f"{ROTATIONS} rotations of {name}")
    command = (
        f"wrk -t1 -c16 -d{SECONDS[name]}s --timeout 30s -H '{contenders.authorization}' -H 'Accept: {MANIFEST}' "
        f"{contenders.url(name)}/v2/small/manifests/v1"
    )
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(contenders.host.run, command, timeout=SECONDS[name] + 120)
        for _ in range(ROTATIONS):
            rotate(contenders)
            if loading.done():
                raise RuntimeError(f"{name}: the load ended before the last rotation; make SECONDS longer")
        return read_wrk_output(loading.result().stdout)


def read_wrk_output(output: str) -> RequestCounts:
    """Read the summary that wrk prints."""
    answered = re.search(r"(\d+) requests in ", output)
    if answered is None:
        raise RuntimeError(f"no count of requests in: {output}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    failed = sum(map(int, errors.groups())) if errors else 0
    return RequestCounts(int(answered[1]), failed + (int(refused[1]) if refused else 0))
