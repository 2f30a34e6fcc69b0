"""A Prometheus on this machine, bound to loopback, with what a run writes for it."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench.debian import unpacked


def promtool(*arguments: str | Path, stdin: str | None = None) -> None:
    """Run promtool; `AssertionError` with what it says if it is not content."""
    command = [unpacked("prometheus") / "usr/bin/promtool", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr if stdin else "") == (0, ""), done.stdout + done.stderr


@dataclass(frozen=True)
class Prometheus:
    """Answers queries at a port of this machine."""

    port: int

    def ask(self, path: str, **values: str) -> Any:
        """Return the data of an answer of the API; `urllib.error.HTTPError` if a query is wrong."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the samples of a query now."""
        return list(self.ask("query", query=expression)["result"])

    def firing(self) -> dict[str, set[str]]:
        """Return the names of the alerts that fire, by instance."""
        found: dict[str, set[str]] = {}
        for each in self.ask("alerts")["alerts"]:
            if each["state"] == "firing":
                found.setdefault(each["labels"]["instance"], set()).add(each["labels"]["alertname"])
        return found

    def wait_for(self, expected: Mapping[str, set[str]], seconds: float = 30) -> None:
        """Wait until exactly these alerts fire, by instance."""
        end = time.monotonic() + seconds
        while (found := self.firing()) != expected and time.monotonic() < end:
            time.sleep(0.2)
        assert found == expected
        seen = time.time()
        while time.monotonic() < end and self._evaluated() <= seen:
            time.sleep(0.2)
        assert self.firing() == expected

    def _evaluated(self) -> float:
        """Return since when each rule was evaluated again."""
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        # Nanoseconds are more than datetime reads.
        return min(
            dt.datetime.fromisoformat(f"{rule['lastEvaluation'][:19]}+00:00").timestamp() for rule in rules
        )


@contextmanager
def prometheus(
    monitoring: Path, folder: Path, *, interval: str = "1s", scrape: Mapping[str, Any] | None = None
) -> Iterator[Prometheus]:
    """Run Prometheus with the rules, and with changes to the configuration of `scrape`, or without scraping.

    `monitoring` is the folder that a run wrote, `folder` one for this Prometheus, which may hold blocks in `data`.
    """
    configuration = yaml.safe_load((monitoring / "prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    configuration["global"] = {"evaluation_interval": interval}
    configuration["rule_files"] = [str(monitoring / name) for name in configuration["rule_files"]]
    configuration["scrape_configs"] = [] if scrape is None else [job | scrape]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(unpacked("prometheus") / "usr/bin/prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as running:
        try:
            _wait_until_ready(port, running, folder / "log")
            yield Prometheus(port)
        finally:
            running.terminate()


def _wait_until_ready(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(150):
        assert running.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


Series = Mapping[str, Sequence[float]]


def backfill(folder: Path, series: Mapping[str, Series], step: int, end: float) -> None:
    """Write the history of series, by instance, name and labels: values of every `step` seconds until `end`."""
    rows: dict[str, list[str]] = {}
    for instance, found in series.items():
        for name, values in found.items():
            metric, _, labels = name.partition("{")
            head = f'{metric}{{job="homelab-registry",instance="{instance}"{"," + labels if labels else "}"}'
            begin = end - step * (len(values) - 1)
            rows.setdefault(metric, []).extend(
                f"{head} {value} {begin + step * number:.0f}" for number, value in enumerate(values)
            )
    text = "".join(
        f"# TYPE {metric} gauge\n" + "\n".join(lines) + "\n" for metric, lines in sorted(rows.items())
    )
    history = folder / "history"
    history.write_text(f"{text}# EOF\n")
    promtool("tsdb", "create-blocks-from", "openmetrics", history, folder / "data")
