"""The one form of all operations here: decide, carry out, and print every step with its reason and its time.

pyinfra runs an operation's code up to its first command in a plan too, so that a plan prints what a run would do.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from paramiko import SSHException
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.host import Host
from pyinfra.api.state import State as PyinfraState
from pyinfra.connectors.util import CommandOutput

from tasks.problem import Problem
from tasks.remote.steps import Conflict, Step
from tasks.run import output
from tasks.run.context import ROOT, Run, current
from tasks.run.report import Outcome, StepRecord, remedy_for
from tasks.settings.redact import printable


@dataclass(frozen=True)
class LocalStep:
    """A change of the controller's state. `action` may raise `OSError` or `Problem`."""

    text: str
    action: Callable[[], None]


@dataclass(frozen=True)
class RemoteStep:
    """A step on the host whose standard output is used: `then` gets it, and raises `ValueError` if it is wrong."""

    step: Step
    then: Callable[[str], None]

    @property
    def text(self) -> str:
        """What the step does, and why."""
        return self.step.text


AnyStep = Step | LocalStep | RemoteStep
T = TypeVar("T")


def prefetch(read_facts: Callable[[Run], object]) -> None:
    """Read now what a role needs later: pyinfra prepares all hosts at once, and runs operations one by one.

    A run without changes then waits once for its slowest host, not once for each role. An error here is met again,
    and reported, when the role reads its facts.
    """
    with suppress(Exception):
        read_facts(current())


def read_fact(host: Host, fact: type[FactBase[T | None]], *, holds: bool = False, **arguments: Any) -> T:
    """Read a fact as root; `Conflict` if it could not be read, since unknown is not absent.

    What was read before is used until the run's first step on any host, then read again; unless it `holds`, because
    no other role's steps change it.
    """
    run = current()
    answers, question = run.facts.setdefault((host.name, fact), {}), str(arguments)
    if question not in answers or (run.report.steps and not run.dry and not holds):
        with output.under_way(f"[{host.name}] see what it has"):
            answers[question] = get_fact(host.state, host, fact, kwargs=arguments, apply_failed_hosts=False)
    found: T | None = answers[question]
    if found is None:
        raise Conflict(
            "what this host has could not be read (see above), and unknown is not taken as absent",
            "fix that and run again",
        )
    return found


def apply_steps(
    host: Host, decide: Callable[[Run], Sequence[AnyStep]], noop_reason: str | Callable[[Run], str] = ""
) -> Generator[PyinfraCommand, None, None]:
    """Yield the commands of the steps that `decide` returns; with none, note the `noop_reason` (printed with `-v`).

    Whatever `decide` raises ends this host's run with one line, and no other host's.
    """
    if host in host.state.failed_hosts:
        return  # pyinfra prepares a failed host's later operations all the same
    run = current()
    try:
        steps = list(decide(run))
    except Problem as stop:
        yield from fail_host(host, stop.problem, stop.remedy)
        return
    except Exception as error:  # it would end the run of all hosts
        yield from fail_host(
            host, _unexpected(error), "report this line, and what is special about that host"
        )
        return
    if not steps and (reason := noop_reason if isinstance(noop_reason, str) else noop_reason(run)):
        run.report.nothing_to_do(host.name, printable(reason))
        if run.verbose:
            output.write("=", host.name, f"nothing to do: {printable(reason)}")
    records = [_record(run, host, step.text) for step in steps]
    for step, lines in zip(steps, records, strict=True):
        yield _LocalCommand(step, lines) if isinstance(step, LocalStep) else _RemoteCommand(step, lines)


def _unexpected(error: Exception) -> str:
    """Return the type of an error that nobody foresaw and our line that it came from. Its text may hold a secret."""
    lines = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # There is one at least: `decide` was called from here.
    path, line = [each for each in lines if each[0].is_relative_to(ROOT / "tasks")][-1]
    return f"unexpected {type(error).__name__} at {path.relative_to(ROOT)}:{line}"


def _record(run: Run, host: Host, text: str) -> list[StepRecord]:
    """Note a step that was decided, a record for each line of its text; a plan prints it, a run when it is done."""
    outcome: Outcome = "not taken" if host.state.is_executing else "planned"
    records = [run.report.add_step(host.name, printable(line), outcome) for line in text.split("\n")]
    if not host.state.is_executing:
        for record in records:
            output.write("+", host.name, record.text)
    return records


@contextmanager
def _under_way(host: Host, records: list[StepRecord]) -> Iterator[None]:
    """Carry out a step in this block, which calls `_end`; measure its time."""
    begun = time.monotonic()
    for record in records:
        record.outcome = "begun"
    try:
        with output.under_way(f"[{host.name}] {records[0].text}"):
            yield
    finally:
        for record in records:
            record.seconds = time.monotonic() - begun


def _end(host: Host, records: list[StepRecord], done: bool) -> None:
    """Print a step that was carried out, with its time in the last of its lines."""
    for record in records:
        record.outcome = "taken" if done else "failed"
    *before, last = records
    for record in before:
        output.write("+" if done else "x", host.name, record.text)
    output.write("+" if done else "x", host.name, output.with_time(last.text, last.seconds or 0))


def fail_host(host: Host, problem: str, remedy: str) -> Generator[PyinfraCommand, None, None]:
    """End this host's run with one line; other hosts go on."""
    record_problem(host, problem, remedy)
    yield from stop_host(host)


def stop_host(host: Host) -> Generator[PyinfraCommand, None, None]:
    """End this host's run, after the reason was printed."""
    if host.state.is_executing:
        yield _Fail()
    else:
        host.state.fail_hosts({host})


def record_problem(host: Host, problem: str, remedy: str) -> None:
    """Keep what keeps a host from being finished for the end of the run, which prints it."""
    run = current()
    problem, remedy = printable(problem), printable(remedy)
    run.report.problem(host.name, problem, remedy)
    run.settled[host.name].set()


class _Fail(PyinfraCommand):
    """A command that fails, which is how pyinfra ends one host's run."""

    def execute(self, state: PyinfraState, host: Host, connector_arguments: Any) -> bool:
        return False


class _LocalCommand(PyinfraCommand):
    def __init__(self, step: LocalStep, records: list[StepRecord]) -> None:
        super().__init__()
        self.step = step
        self.records = records

    def __repr__(self) -> str:
        return f"_LocalCommand({self.step.text})"

    def execute(self, state: PyinfraState, host: Host, connector_arguments: Any) -> bool:
        with _under_way(host, self.records):
            done = self._act(host)
        _end(host, self.records, done)
        return done

    def _act(self, host: Host) -> bool:
        try:
            self.step.action()
        except Problem as error:
            record_problem(host, error.problem, error.remedy)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""  # a failed write(2) names no file
            problem = f"could not {_what(self.step)}: on this machine: {where}{error.strerror}"
            record_problem(host, problem, remedy_for(str(error)))
        else:
            return True
        return False


class _RemoteCommand(StringCommand):
    """A step's script. If it fails, one line of its output is kept: the one that has a known remedy, or the last."""

    def __init__(self, step: Step | RemoteStep, records: list[StepRecord]) -> None:
        self.step = step.step if isinstance(step, RemoteStep) else step
        self.then = step.then if isinstance(step, RemoteStep) else None
        self.records = records
        super().__init__(self.step.script)
        if self.step.stdin is not None:
            self.connector_arguments["_stdin"] = self.step.stdin

    def execute(
        self, state: PyinfraState, host: Host, connector_arguments: Any
    ) -> tuple[bool, CommandOutput]:
        if not self.step.turn:
            return self._carry_out(state, host, connector_arguments)
        turn = current().turns[self.step.turn]
        with output.under_way(f"[{host.name}] wait for other {self.step.turn}"), turn.lock:
            if turn.failed:
                record_problem(
                    host,
                    f"did not {_what(self.step)}: that of {turn.failed} failed, and {self.step.turn} go one by one",
                    "fix that one and run again",
                )
                return False, CommandOutput([])
            done, printed = self._carry_out(state, host, connector_arguments)
            turn.failed = None if done else host.name
            return done, printed

    def _carry_out(
        self, state: PyinfraState, host: Host, connector_arguments: Any
    ) -> tuple[bool, CommandOutput]:
        try:
            with _under_way(host, self.records):
                done, printed = host.run_shell_command(
                    self,
                    # A program may print the secret that it was given, as an API server quotes what it refuses.
                    print_output=state.print_output and self.step.stdin is None,
                    print_input=state.print_input,
                    **{**connector_arguments, **self.connector_arguments},
                )
            complaint = _error_line(printed)
        except (OSError, SSHException) as error:
            done, printed = False, CommandOutput([])
            complaint = f"the connection broke ({error or type(error).__name__})"
        if done and self.then:
            try:
                self.then(printed.stdout)
            except (ValueError, OSError) as error:
                done, complaint = False, str(error)
        if not done:
            record_problem(host, f"could not {_what(self.step)}: {complaint}", remedy_for(complaint))
        _end(host, self.records, done)
        return done, CommandOutput([] if not done else printed.combined_lines)


def _what(step: AnyStep) -> str:
    """Return what a step does, without the reason."""
    return step.text.partition(": ")[0]


def _error_line(printed: CommandOutput) -> str:
    lines = [line.strip() for line in printed.stderr_lines + printed.stdout_lines if line.strip()]
    known = [line for line in lines if remedy_for(line) != remedy_for("")]
    return (known or lines[-1:] or ["it printed no error"])[0]
