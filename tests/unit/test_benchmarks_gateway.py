"""The gateway's benchmark: its targets, the page, and how load is generated and measured."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gateway import rotations
from benchmarks.gateway.figures import Figures, VersionFigures, in_turns
from benchmarks.gateway.load import MAKE_IMAGE
from benchmarks.gateway.memory import WATCH
from benchmarks.gateway.results import page, rows
from benchmarks.gateway.rotations import RequestCounts

AT_BOUNDS = VersionFigures(
    requests={"gateway": 900.0, "bare": 1000.0, "stock": 22.5},
    blobs={"HTTP/1.1, 1 stream": {"gateway": 540.0, "static": 600.0}},
    push={"gateway": 90.0, "bare_tls": 100.0},
    guesses={"unknown": 3.0, "wrong": 2.0},
    memory={"idle": 20.0, "most": 276.0},
)
BEYOND_BOUNDS = VersionFigures(
    requests={"gateway": 899.0, "bare": 1000.0, "stock": 22.5},
    blobs={"HTTP/2, 4 streams": {"gateway": 539.0, "static": 600.0}},
    push={"gateway": 89.0, "bare_tls": 100.0},
    guesses={"unknown": 2.0, "wrong": 3.01},
    memory={"idle": 20.0, "most": 277.0},
)
LARGE = {
    "push": 71.6,
    "push_gateway": 0.25,
    "push_both": 3.0,
    "push_tmp": 0.0,
    "pull": 402.4,
    "pull_gateway": 1.5,
    "pull_both": 2.0,
    "pull_tmp": 0.1,
}


def test_each_target_is_reached_at_its_bound_and_missed_beyond_it() -> None:
    found = rows(Figures({"2.8": AT_BOUNDS, "3.1.2": BEYOND_BOUNDS}))
    assert [(row.name, round(row.value, 3), row.bound, row.unit, row.reached) for row in found] == [
        ("2.8: GET of a manifest, 16 connections, against the stock registry", 40.0, 40, "×", True),  # noqa: RUF001
        ("2.8: GET of a manifest, 16 connections, against the bare registry", 0.9, 0.9, "×", True),  # noqa: RUF001
        ("2.8: GET of 64 MB, HTTP/1.1, 1 stream, against static files", 0.9, 0.9, "×", True),  # noqa: RUF001
        ("2.8: push of 500 MB in 5 layers, against the bare registry", 0.9, 0.9, "×", True),  # noqa: RUF001
        ("2.8: an unknown account against a wrong password", 1.0, 1, "ms", True),
        ("2.8: memory under 32 pulls and 32 pushes, above idle", 256.0, 256, "MB", True),
        ("3.1.2: GET of a manifest, 16 connections, against the stock registry", 39.956, 40, "×", False),  # noqa: RUF001
        ("3.1.2: GET of a manifest, 16 connections, against the bare registry", 0.899, 0.9, "×", False),  # noqa: RUF001
        ("3.1.2: GET of 64 MB, HTTP/2, 4 streams, against static files", 0.898, 0.9, "×", False),  # noqa: RUF001
        ("3.1.2: push of 500 MB in 5 layers, against the bare registry", 0.89, 0.9, "×", False),  # noqa: RUF001
        ("3.1.2: an unknown account against a wrong password", 1.01, 1, "ms", False),
        ("3.1.2: memory under 32 pulls and 32 pushes, above idle", 257.0, 256, "MB", False),
    ]


def test_the_page_has_each_target_and_the_large_layer() -> None:
    lines = page(Figures({"2.8": AT_BOUNDS}, LARGE), ["2 cores"]).splitlines()
    assert "- 2 cores" in lines
    assert (
        "| 2.8: GET of a manifest, 16 connections, against the stock registry | 40.00 × "  # noqa: RUF001
        "| 900/s against 22/s | at least 40 × | yes |"  # noqa: RUF001
    ) in lines
    assert (
        "| 2.8: an unknown account against a wrong password | 1.00 ms | 3.00 ms against 2.00 ms | at most 1 ms | yes |"
        in lines
    )
    assert "| push | 72 | 0.2 | 3.0 | 0.0 |" in lines
    assert "| pull | 402 | 1.5 | 2.0 | 0.1 |" in lines


def test_the_page_says_that_there_was_no_space_for_a_large_layer() -> None:
    assert "A layer of 5 GB was not measured: it needs 20 GB of free disk space." in page(
        Figures({"2.8": replace(AT_BOUNDS)}), []
    )


def test_contenders_are_measured_in_turns_and_a_warm_up_round_does_not_count() -> None:
    asked: list[str] = []

    def contender(name: str, *values: float) -> Callable[[], float]:
        left = iter(values)

        def ask() -> float:
            asked.append(name)
            return next(left)

        return ask

    found = in_turns(
        3,
        {"a": contender("a", 99, 1, 5, 2), "b": contender("b", 99, 7, 8, 9)},
        lambda: asked.append("|"),
    )
    assert found == {"a": 2, "b": 8}
    assert asked == ["|", "a", "b", "|", "b", "a", "|", "a", "b", "|", "b", "a"]


def test_each_generated_image_is_valid_and_different(tmp_path: Path) -> None:
    firsts = []
    for _ in range(2):
        done = run(MAKE_IMAGE, str(tmp_path / "image"), "2", "3000000")
        firsts.append(done.stdout.strip())
        blobs = {path.name: path.read_bytes() for path in (tmp_path / "image/blobs/sha256").iterdir()}
        assert {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()} == {
            n: n for n in blobs
        }
        (listed,) = json.loads((tmp_path / "image/index.json").read_text())["manifests"]
        manifest = json.loads(blobs[listed["digest"].removeprefix("sha256:")])
        assert [layer["size"] for layer in manifest["layers"]] == [3000000, 3000000]
        named = [manifest["config"], *manifest["layers"]]
        assert [len(blobs[each["digest"].removeprefix("sha256:")]) for each in named] == [
            each["size"] for each in named
        ]
        assert manifest["layers"][0]["digest"] == firsts[-1]
    assert firsts[0] != firsts[1]


# For the watched command: wait until the watcher, the shell's parent, has completed at least one whole look. In two
# looks it reads at most 124 bytes.
WAIT_UNTIL_READ = (
    "read_so_far() { sed -n 's/^rchar: //p' /proc/$PPID/io; }",
    "looked() { before=$(read_so_far); until [ $(read_so_far) -ge $((before + 124)) ]; do sleep 0.02; done; }",
)


@pytest.mark.parametrize("field", ["total_rss", "anon"])
def test_the_maximum_of_each_use_is_kept(tmp_path: Path, field: str) -> None:
    gateway, registry = tmp_path / "gateway", tmp_path / "registry"
    for path in (gateway, registry):
        path.write_text(f"cache 5000\n{field} 100\nrss 7\n")
    step = "echo '{field} {value}' > {path}.new; mv {path}.new {path}; looked"
    steps = [
        step.format(field=field, value=value, path=path)
        for path, value in ((gateway, 900), (registry, 300), (gateway, 200), (registry, 800))
    ]
    command = "; ".join([*WAIT_UNTIL_READ, "looked", *steps])
    done = run(WATCH, str(gateway), str(registry), str(tmp_path), command)
    idle, most = json.loads(done.stdout)
    assert (idle[:2], most[:2]) == ([100, 200], [900, 1200])


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("anon 1\n")
    done = run(WATCH, *[str(tmp_path / "stat")] * 2, str(tmp_path), "exit 3", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the command ended with exit code 3\n")


def run(script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-", *arguments],
        input=script,
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("  4211 requests in 10.00s, 2.1MB read\n", RequestCounts(4211, 0)),
        ("  90 requests in 10.00s, 2.1MB read\n  Non-2xx or 3xx responses: 7\n", RequestCounts(90, 7)),
        (
            "  90 requests in 10.00s, 2.1MB read\n  Socket errors: connect 40, read 3, write 2, timeout 1\n",
            RequestCounts(90, 46),
        ),
    ],
)
def test_every_failure_that_wrk_reports_is_counted(output: str, counts: RequestCounts) -> None:
    assert rotations.read_wrk_output(output) == counts


def test_output_without_wrk_s_summary_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no count of requests"):
        rotations.read_wrk_output("unable to connect")
