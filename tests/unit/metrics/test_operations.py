"""When a run writes to the registry host what it knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tasks.metrics import operations
from tasks.registry import metrics
from tasks.registry.context import RegistryContext
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.files import File, Observed
from tasks.run.context import Run

FOLDER = "/etc/homelab-registry"
PATH = f"{FOLDER}/{metrics.OF_RUN}"
IMAGES = "/var/lib/homelab-registry"


def run(has: str | None, *, by_timer: bool = False) -> Run:
    """A run that found a host with this text."""
    digest = File(PATH, content=has).sha256 if has is not None else None
    there = Observed("regular file", "600", 60706, 60706, 0.0, 1, digest) if digest else None
    found = RegistryHost(paths={PATH: there, IMAGES: None})
    context = RegistryContext(found=found, storage=Record(IMAGES, "0" * 32, "/"))
    return cast(Run, SimpleNamespace(part=lambda _: context, by_timer=by_timer))


@pytest.mark.parametrize(
    ("has", "by_timer", "reason", "marks"),
    [
        ("same\n", False, None, ""),
        ("same\n", True, None, ""),
        (None, False, "it is missing", f"{FOLDER}/metrics/run"),
        ("other\n", False, "its content is not as it should be", f"{FOLDER}/metrics/run"),
        (None, True, "it is missing", f"{FOLDER}/metrics/run {FOLDER}/metrics/timer-run"),
    ],
)
def test_it_is_written_if_it_has_changed(
    has: str | None, by_timer: bool, reason: str | None, marks: str
) -> None:
    steps = operations.steps(run(has, by_timer=by_timer), "same\n")
    assert [step.text for step in steps] == ([f"write {PATH}: {reason}"] if reason else [])
    assert all(step.script.endswith(f"&& touch {marks}") for step in steps)


def test_nothing_is_written_to_a_host_that_was_not_read() -> None:
    nothing = cast(Run, SimpleNamespace(part=lambda _: RegistryContext(), by_timer=False))
    with pytest.raises(LookupError):
        operations.steps(nothing, "same\n")
