"""The one form of all operations here: decide, print every step with its reason, then take them.

pyinfra runs an operation's code up to its first command in a plan too, so that a plan prints what a run would do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.host import Host
from pyinfra.api.output import format_text
from pyinfra.api.state import State as PyinfraState
from pyinfra.connectors.util import CommandOutput

from tasks.certificates.ca import AuthorityError
from tasks.remote.steps import Conflict, Step
from tasks.run.context import Run, current
from tasks.run.report import remedy_for
from tasks.settings.redact import printable
from tasks.state.files import StateError


@dataclass(frozen=True)
class LocalStep:
    """A change of the controller's state. `action` may raise `OSError` or `StateError`."""

    text: str
    action: Callable[[], None]


@dataclass(frozen=True)
class RemoteStep:
    """A step on the host whose standard output is wanted: `then` is given it and may raise `ValueError`."""

    step: Step
    then: Callable[[str], None]

    @property
    def text(self) -> str:
        """What is done and why."""
        return self.step.text


AnyStep = Step | LocalStep | RemoteStep
T = TypeVar("T")


def look_ahead(look: Callable[[Run], object]) -> None:
    """Read now what a role will ask for in its turn: `deploy.py` is gone through for all hosts at once.

    A run without changes then waits once for its slowest host, and not once for each role. What goes wrong here is
    met again in the role's turn, and told there.
    """
    with suppress(Exception):
        look(current())


def read(host: Host, fact: type[FactBase[T | None]], *, holds: bool = False, **arguments: Any) -> T:
    """Read a fact as root; `Conflict` where it could not be read, since unknown is not absent.

    What was read before holds until the run's first step, on whatever host; then it is read anew, unless it is such
    that it `holds`: the steps of other roles do not change it.
    """
    run = current()
    arguments["_sudo"] = run.machines[host.name].rights == "sudo"
    known = run.found.get((host.name, fact))
    if known is None or known[0] != arguments or (run.report.steps and not run.dry and not holds):
        answer = get_fact(host.state, host, fact, kwargs=arguments, apply_failed_hosts=False)
        known = run.found[host.name, fact] = (arguments, answer)
    found: T | None = known[1]
    if found is None:
        raise Conflict(
            "what this host has could not be read (see above), and unknown is not taken as absent",
            "mend that and run again",
        )
    return found


def carry_out(
    host: Host, decide: Callable[[], Sequence[AnyStep]], because: Callable[[], str]
) -> Generator[PyinfraCommand, None, None]:
    """Yield the commands of the steps that `decide` returns; with none, say why not (`because`).

    Whatever `decide` raises ends this host's run with one line, and no other's.
    """
    if host in host.state.failed_hosts:
        return  # a plan goes through a host's later operations all the same
    try:
        steps = list(decide())
    except (Conflict, StateError) as stop:
        yield from refuse(host, stop.problem, stop.remedy)
        return
    except AuthorityError as stop:
        yield from refuse(host, str(stop), "see docs/when-something-is-wrong.md")
        return
    except Exception as error:  # it would end the run of all hosts; what it says may hold secrets
        problem = f"unexpected {type(error).__name__} on what this host has"
        yield from refuse(host, problem, "report this, with what that host has of special")
        return
    if not steps and (reason := because()):
        host.noop(reason)
    for step in steps:
        announce(host, step.text)
    for step in steps:
        yield _LocalCommand(step) if isinstance(step, LocalStep) else _RemoteCommand(step)


def announce(host: Host, text: str) -> None:
    """Print a step before it is taken; the same lines in a plan and in a run."""
    for line in text.split("\n"):
        current().report.steps += 1
        host.log(f"{format_text('step:', 'yellow')} {printable(line)}")


def refuse(host: Host, problem: str, remedy: str) -> Generator[PyinfraCommand, None, None]:
    """End this host's run with one line and leave the other hosts to go on."""
    blame(host, problem, remedy)
    yield from fail(host)


def fail(host: Host) -> Generator[PyinfraCommand, None, None]:
    """End this host's run, of which it has been said why."""
    if host.state.is_executing:
        yield _Refusal()
    else:
        host.state.fail_hosts({host})


def blame(host: Host, problem: str, remedy: str) -> None:
    """Print and note what keeps a host from being finished."""
    run = current()
    problem, remedy = printable(problem), printable(remedy)
    run.report.problem(host.name, problem, remedy)
    if host.name == run.configuration.registry_host:
        run.registry_decided.set()  # nothing more will be known of it
    host.log_styled(f"{problem}; {remedy}", fg="red", log_func=logger.error)


class _Refusal(PyinfraCommand):
    def execute(self, state: PyinfraState, host: Host, connector_arguments: Any) -> bool:
        return False


class _LocalCommand(PyinfraCommand):
    def __init__(self, step: LocalStep) -> None:
        super().__init__()
        self.step = step

    def __repr__(self) -> str:
        return f"_LocalCommand({self.step.text})"

    def execute(self, state: PyinfraState, host: Host, connector_arguments: Any) -> bool:
        try:
            self.step.action()
        except StateError as error:
            blame(host, error.problem, error.remedy)
        except OSError as error:
            where = (
                f"{error.filename}: " if error.filename else ""
            )  # a write that fails does not name its file
            problem = f"could not {_what(self.step)}: on this machine: {where}{error.strerror}"
            blame(host, problem, remedy_for(str(error)))
        else:
            return True
        return False


class _RemoteCommand(StringCommand):
    """A step's script. Of what it prints when it fails one line is kept: the one that tells what to do."""

    def __init__(self, step: Step | RemoteStep) -> None:
        self.step = step.step if isinstance(step, RemoteStep) else step
        self.then = step.then if isinstance(step, RemoteStep) else None
        super().__init__(self.step.script)
        if self.step.stdin is not None:
            self.connector_arguments["_stdin"] = self.step.stdin

    def execute(
        self, state: PyinfraState, host: Host, connector_arguments: Any
    ) -> tuple[bool, CommandOutput]:
        done, output = host.run_shell_command(
            self,
            # Not even at -vvv: what was given a secret may print it, as an API server quotes what it refuses.
            print_output=state.print_output and self.step.stdin is None,
            print_input=state.print_input,
            **{**connector_arguments, **self.connector_arguments},
        )
        complaint = _telling_line(output)
        if done and self.then:
            try:
                self.then(output.stdout)
            except (ValueError, OSError) as error:
                done, complaint = False, str(error)
        if not done:
            blame(host, f"could not {_what(self.step)}: {complaint}", remedy_for(complaint))
        return done, CommandOutput([] if not done else output.combined_lines)


def _what(step: AnyStep) -> str:
    """What a step does, without the reason."""
    return step.text.partition(": ")[0]


def _telling_line(output: CommandOutput) -> str:
    lines = [line.strip() for line in output.stderr_lines + output.stdout_lines if line.strip()]
    known = [line for line in lines if remedy_for(line) != remedy_for("")]
    return (known or lines[-1:] or ["it ended without a word"])[0]
