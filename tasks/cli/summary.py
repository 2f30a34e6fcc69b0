"""What a run prints at its end."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from pyinfra.api.output import echo, format_text
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_state

from tasks.accounts import passwords
from tasks.certificates import rollover
from tasks.certificates.name_constraints import shared_domains
from tasks.cli import standing
from tasks.cli.document import document, refusal
from tasks.cli.next_steps import first_push, next_steps
from tasks.registry.context import RegistryContext
from tasks.run.context import Run
from tasks.run.output import duration
from tasks.timer import status as timer
from tasks.verbs import with_inventory


def show_refusal(problems: Sequence[str], *, as_json: bool) -> None:
    """Print why a run may not begin, a line for each mistake."""
    if as_json:
        echo(refusal(problems))
    echo(format_text("Not begun:", "red", bold=True), err=True)
    for line in problems:
        echo(f"  {line}", err=True)


def show(run: Run) -> None:
    """Print what the run came to: what there is now, notes, what to do next, and what is not finished."""
    _note_failed(run)
    headline, remarks = _headline(run), _remarks(run)
    if run.as_json:
        echo(document(run, headline, remarks))
    for line in [_colored(run, headline), *_body(run, remarks), *_left_to_do(run)]:
        echo(line, err=True)


def _body(run: Run, remarks: Sequence[str]) -> list[str]:
    notes = _notes(run)
    warnings = [format_text(f"  {line}", "yellow") for line in (*remarks, *notes)]
    if run.dry:
        return warnings
    push = first_push(run)
    last = next_steps(run) if run.report.count("taken") and run.part(RegistryContext).served else []
    return [*standing.lines(run), *warnings, *push, *last]


def _notes(run: Run) -> list[str]:
    """Return a line for each note, with all hosts that it is of."""
    hosts: dict[str, list[str]] = {}
    for host in standing.in_order(run, run.report.notes):
        for line in run.report.notes[host]:
            hosts.setdefault(line, []).append(host)
    return [f"[{', '.join(names)}] {line}" for line, names in hosts.items()]


def _colored(run: Run, headline: str) -> str:
    color = "red" if run.report.problems or run.interrupted else "green"
    return format_text(headline, color, bold=True)


def _headline(run: Run) -> str:
    """Return in one line what the run came to, with its time."""
    report, took = run.report, duration(time.monotonic() - run.begun)
    hosts = _hosts()
    if run.dry and run.interrupted:
        return "Interrupted; nothing was changed."
    if run.dry:
        if report.problems:
            return "A run would stop where this plan did; nothing was changed."
        if not ctx_state.get().initialised:
            return "Ended early; nothing was changed."
        steps = report.count()
        return (
            f"{_count(steps, 'step')}; nothing was changed."
            if steps
            else f"Nothing to do on {hosts} ({took})."
        )
    taken = report.count("taken")
    changes = _count(taken, "change")
    if not _is_complete():
        ended = "Interrupted" if run.interrupted else "Ended early"
        return f"{ended} after {changes} in {took}; the next run finishes what was begun."
    if report.problems:
        good = len(_names()) - len(report.problems)
        return f"{changes} in {took}; {good} of {hosts} finished."
    if not taken:
        return f"Nothing to do on {hosts} ({took})."
    changed = len([host for host, steps in report.steps.items() if any(s.outcome == "taken" for s in steps)])
    idle = len(_names()) - changed
    others = f"; {idle} had nothing to do" if idle else ""
    return f"Done: {changes} on {changed} of {hosts} in {took}{others}."


def _names() -> list[str]:
    """Return the hosts that the run was for."""
    state = ctx_state.get()
    return (
        [host.name for host in state.inventory if state.is_host_in_limit(host)] if state.initialised else []
    )


def _hosts() -> str:
    return _count(len(_names()), "host")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _is_complete() -> bool:
    """Return whether the run got to its end, on the hosts that did not fail."""
    state = ctx_state.get()
    return state.initialised and (state.current_stage == StateStage.Disconnect or not state.active_hosts)


def _note_failed(run: Run) -> None:
    """Keep no failure of pyinfra's from the end of the run: what it prints by itself is somewhere above."""
    state = ctx_state.get()
    # Not failed_hosts: there may be pyinfra's stand-ins for a host, which have no name any more.
    for host in state.activated_hosts - state.active_hosts if state.initialised else ():
        if host.name not in run.report.problems:
            run.report.problem(host.name, "its run ended with an error (see above)", "fix that and run again")


def _remarks(run: Run) -> list[str]:
    """Return what is to be kept in mind of the registry as a whole."""
    if run.dry:
        found = standing.storage(run)
        full = [f"Storage: {found.text}"] if found.level != "good" else []
        lines = [*full, *_timer(run)]
    else:
        lines = [*custom_passwords(run), *authorities(run, dt.datetime.now(dt.UTC)), *_timer(run)]
    return [with_inventory(line, run.inventory) for line in lines]


def custom_passwords(run: Run) -> list[str]:
    """Return a line for each account that machines pull with and that has a custom password."""
    context = run.part(RegistryContext)
    settings = run.configuration.settings
    of_users = {
        account
        for host in run.configuration.hosts.values()
        for account in host.login_accounts(settings).values()
    }
    pulling = sorted(of_users | {settings.registry_login_account, settings.registry_pull_secret_account})
    return [
        f"The account {name} has a custom password: each of its requests costs the registry host about "
        f"0.3 s of processor time; make rotate-passwords ACCOUNT={name} gives it a generated one"
        for name in pulling
        if settings.registry_accounts[name] == "pull"
        if name in context.desired.passwords and not passwords.is_generated(context.desired.passwords[name])
    ]


def authorities(run: Run, now: dt.datetime) -> list[str]:
    """Return lines on a CA rollover under way, on names that wait for its end, and on a CA to replace."""
    context = run.part(RegistryContext)
    if (found := context.authorities) is None:
        return []
    names = context.server_names(run.configuration.settings)
    later = ", ".join(found.postponed_names(names))
    shared = ", ".join(shared_domains(found.latest.certificate, names))
    said = (
        rollover.describe_progress(found),
        later and f"not in the certificate before the old certificate authority is retired: {later}",
        shared
        and f"the certificate authority permits all names below {shared}, where others have names too: "
        "make rotate-ca replaces it by one that does not",
        rollover.expiry_warning(found, now),
    )
    return [f"{line[0].upper()}{line[1:]}" for line in said if line]


def _timer(run: Run) -> list[str]:
    problem = timer.find_problem(run.inventory)
    return [problem] if problem else []


def _left_to_do(run: Run) -> list[str]:
    if not run.report.problems:
        return []
    lines = ["", format_text("Not finished:", "red", bold=True)]
    for host in standing.in_order(run, run.report.problems):
        lines += [f"  [{host}] {problem}; {remedy}" for problem, remedy in run.report.problems[host]]
    return lines
