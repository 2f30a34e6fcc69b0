"""A fact is read once until the run's first step. A counter stands in for pyinfra's reading of facts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host

from tasks.remote.steps import Conflict
from tasks.run import apply
from tasks.run import context as run
from tasks.run.context import Run
from tasks.run.machines import Machine
from tasks.settings.load import Configuration
from tasks.state.store import Store

HOST = cast("Host", SimpleNamespace(name="nas", state=None))


class Counted(FactBase[int | None]):
    """A fact whose answer is how often it was read."""


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int | None]:
    """The host's answers, the next one last; those that remain were not asked for."""
    answers: list[int | None] = [3, 2, 1]
    monkeypatch.setattr(apply, "get_fact", lambda *_, **__: answers.pop())
    this = Run(cast("Configuration", None), Store(tmp_path), inventory="", dry=False)
    this.machines["nas"] = Machine("root", 0.0, "debian", "running", client=True)
    monkeypatch.setattr(run, "_current", [this])
    return answers


def read(**arguments: Any) -> int:
    return apply.read_fact(HOST, Counted, **arguments)


def test_a_fact_is_read_once_until_the_run_takes_a_step(readings: list[int | None]) -> None:
    apply.prefetch(lambda _: read())
    assert (read(), read()) == (1, 1)


def test_a_fact_is_read_again_after_a_step_on_any_host(readings: list[int | None]) -> None:
    apply.prefetch(lambda _: read())
    run.current().report.add_step("nas", "write it: it is missing", "taken")
    assert (read(), read()) == (2, 3)


def test_a_plan_takes_no_step(readings: list[int | None]) -> None:
    run.current().dry = True
    run.current().report.add_step("nas", "write it: it is missing", "taken")
    assert (read(), read()) == (1, 1)


def test_another_question_has_another_answer_and_each_is_kept(readings: list[int | None]) -> None:
    assert (read(paths=["/a"]), read(paths=["/b"]), read(paths=["/a"]), read(paths=["/b"])) == (1, 2, 1, 2)


def test_a_fact_that_could_not_be_read_is_reported_by_its_role_and_not_read_again(
    readings: list[int | None],
) -> None:
    readings[:] = [1, None]
    apply.prefetch(lambda _: read())
    for _ in range(2):
        with pytest.raises(Conflict, match="unknown is not taken as absent"):
            read()
    assert readings == [1]
