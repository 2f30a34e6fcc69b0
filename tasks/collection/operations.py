"""Delete what nothing needs from the images' folder, while clients push and pull."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import get_fact

from tasks.collection import report
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, apply_steps
from tasks.run.context import ROOT, Run
from tasks.storage import collection, trash
from tasks.storage.collection import Plan, Times, Trash
from tasks.storage.facts import StorageFact
from tasks.storage.graph import Root
from tasks.storage.stored import Stored
from tasks.storage.trash import TrashFact

Rules = Callable[[Run, Stored], tuple[frozenset[Root], Times]]
"""Says, for a reading, which manifests stay without a tag, and the times; `Conflict` if nothing may be deleted."""

ROUNDS = 10
"""How often something is given back. What a manifest names follows it, which was never more than three rounds."""


def collect(rules: Rules) -> Generator[PyinfraCommand, None, None]:
    """Yield the commands that condemn what nothing needs, and delete what was condemned if its grace is over.

    `host` is the registry host.
    """
    first: list[Plan] = []
    yield from apply_steps(host, partial(_condemn, rules, first), "nothing is unneeded")
    if not host.state.is_executing or not first:
        return
    if first[0].ready:
        yield from apply_steps(host, partial(_move, rules, first[0]))
    elif first[0] == Plan(condemn=first[0].condemn, spare=first[0].spare):
        return
    for _ in range(ROUNDS):
        left: list[Plan] = []
        yield from apply_steps(host, partial(_give_back_or_finish, rules, left))
        if not left:
            return


def _condemn(rules: Rules, first: list[Plan], run: Run) -> list[AnyStep]:
    stored, left, times, plan = _plan(rules, run)
    if note := report.summary(stored, plan, left, times):
        run.report.note(host.name, note)
    if plan == Plan():
        return []
    first.append(plan)
    lines = [*trash.condemn(plan), *(trash.tell(plan) if plan.ready else ["begin"])]
    return [_step(report.begun(stored, plan), _folder(run), lines)]


def _move(rules: Rules, first: Plan, run: Run) -> list[AnyStep]:
    stored, _, _, plan = _plan(rules, run)
    text = report.moved(stored, plan.ready & first.ready)
    return [_step(text, _folder(run), trash.move(plan, first.ready))]


def _give_back_or_finish(rules: Rules, left: list[Plan], run: Run) -> list[AnyStep]:
    _, trashed, _, plan = _plan(rules, run)
    if plan.give_back:
        left.append(plan)
        return [_step(report.given_back(plan), _folder(run), trash.give_back(plan))]
    return [_step(report.finished(plan, trashed), _folder(run), trash.finish(plan))]


def _plan(rules: Rules, run: Run) -> tuple[Stored, Trash, Times, Plan]:
    read = partial(get_fact, host.state, host, kwargs={"folder": _folder(run)}, apply_failed_hosts=False)
    stored, left = read(StorageFact), read(TrashFact)
    if stored is None or left is None or stored.problems:
        raise Conflict(
            f"what is stored could not be read ({report.problem(stored)}), so nothing is deleted",
            "fix that and run again",
        )
    kept, times = rules(run, stored)
    return stored, left, times, collection.plan(stored, kept, left, times)


def _folder(run: Run) -> str:
    record = run.part(RegistryContext).storage
    if record is None:
        raise LookupError("the operations on the registry come first")
    return record.path


def _step(text: str, folder: str, lines: Sequence[str]) -> Step:
    script = (ROOT / "files/collect.sh").read_text()
    return Step(text, f"set -- {shlex.quote(folder)}\n{script}", "".join(f"{line}\n" for line in lines))
