"""Steps that hosts take one after the other, as servers of a cluster are restarted."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from pyinfra.connectors.util import CommandOutput, OutputLine

from tasks.remote.steps import Step
from tasks.run import apply
from tasks.run.context import Turn
from tasks.run.report import Report, StepRecord

SERVERS = "servers of K3s"


class FakeHost:
    """A host whose step takes a while; `log` gets when it began and ended. The step of a host in `broken` fails."""

    def __init__(self, name: str, log: list[str], broken: tuple[str, ...]) -> None:
        self.name, self.log, self.broken = name, log, broken

    def run_shell_command(self, *arguments: Any, **options: Any) -> tuple[bool, CommandOutput]:
        self.log.append(f"{self.name} begins")
        for _ in range(5):
            gevent.sleep(0)  # every other host could begin here
        self.log.append(f"{self.name} ends")
        done = self.name not in self.broken
        return done, CommandOutput([] if done else [OutputLine("stderr", "it is down")])


def take(
    monkeypatch: pytest.MonkeyPatch, names: list[str], turn: str, broken: tuple[str, ...] = ()
) -> tuple[list[str], Report]:
    """Let hosts take a step at the same time; return the order of it, and what is reported."""
    run = SimpleNamespace(
        turns=defaultdict(Turn), report=Report("inventories/lab.py"), settled=defaultdict(Event)
    )
    monkeypatch.setattr(apply, "current", lambda: run)
    log: list[str] = []
    step = Step("restart k3s.service: it is due", "true", turn=turn)
    state = SimpleNamespace(print_output=False, print_input=False)
    commands = [
        gevent.spawn(
            apply._RemoteCommand(step, [StepRecord("restart k3s.service", "it is due", "not taken")]).execute,
            state,
            FakeHost(name, log, broken),
            {},
        )
        for name in names
    ]
    gevent.joinall(commands, raise_error=True)
    assert [command.value[0] for command in commands] == [
        not (set(names[: names.index(name) + 1]) & set(broken)) for name in names
    ]
    return log, run.report


def test_servers_go_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    log, report = take(monkeypatch, ["a", "b", "c"], SERVERS)
    assert log == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]
    assert report.problems == {}


def test_other_hosts_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = take(monkeypatch, ["a", "b", "c"], "")
    assert log[:3] == ["a begins", "b begins", "c begins"]


def test_after_one_that_failed_no_other_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    log, report = take(monkeypatch, ["a", "b", "c"], SERVERS, broken=("b",))
    assert log == ["a begins", "a ends", "b begins", "b ends"]
    assert report.problems["b"][0][0] == "could not restart k3s.service: it is down"
    assert report.problems["c"] == [
        (
            "did not restart k3s.service: that of b failed, and servers of K3s go one by one",
            "fix that one and run again",
        )
    ]
