"""What a run prints at its end."""

from __future__ import annotations

import datetime as dt

from pyinfra import logger
from pyinfra.api.output import format_text
from pyinfra.context import ctx_state

from tasks.accounts import passwords
from tasks.certificates import rollover
from tasks.certificates.name_constraints import shared_domains
from tasks.certificates.renewal import renewal_time
from tasks.clients.claims import Claims
from tasks.registry.context import RegistryContext
from tasks.run.context import Run
from tasks.timer import status as timer

MOST_NAMED = 3
"""How many hosts a line names."""


def show(run: Run) -> None:
    """Print what each host has now, notes, and what is left to do."""
    _note_unreached(run)
    if run.dry:
        lines = [_planned(run)]
    else:
        trusted = [f"[{host}] {line}" for host, said in run.report.done.items() for line in said]
        lines = _registry(run) + trusted + custom_passwords(run) + authorities(run, dt.datetime.now(dt.UTC))
    lines += _notes(run) + _timer(run) + _left_to_do(run)
    for line in lines:
        logger.info(line)


def _note_unreached(run: Run) -> None:
    state = ctx_state.get()
    if not state.initialised:
        return
    for host in state.inventory:
        if state.is_host_in_limit(host) and host not in state.activated_hosts:
            run.report.problem(
                host.name,
                "cannot be reached (see above)",
                "switch it on, correct its address or login, or remove its old SSH host key if it was reinstalled "
                "(ssh-keygen -R), and run again",
            )


def _registry(run: Run) -> list[str]:
    context = run.part(RegistryContext)
    leaf = context.desired.leaf
    if not context.served or leaf is None:
        return []
    settings, folder = run.configuration.settings, run.store.folder
    end = leaf.certificate.not_valid_after_utc
    renew = renewal_time(leaf.certificate, settings.renew_before_days)
    first = next(iter(settings.registry_accounts))
    accounts = ", ".join(f"{name} ({role})" for name, role in settings.registry_accounts.items())
    return [
        "",
        *reached(run, f"https://{settings.endpoint} ({context.address})"),
        f"    log in    docker login -u {first} --password-stdin {settings.endpoint} "
        f"< {folder}/accounts/{first}.password",
        f"    accounts  {accounts}; passwords in {folder}/accounts/NAME.password",
        f"    CA        {run.store.ca_bundle_path} (for machines outside the inventory); its key stays in {folder}",
        f"    renew     by {end:%Y-%m-%d}: any run from {renew:%Y-%m-%d} on does it",
        "",
    ]


def reached(run: Run, where: str) -> list[str]:
    """Return the headline: that the registry answers is said only if a client reached it, and which."""
    registry_host, claims = run.configuration.registry_host, run.part(Claims)
    others = sorted(claims.seen - {registry_host})
    if not others and (not claims.seen or set(claims.made) - {registry_host}):
        runs = f"The registry runs on {registry_host}; no other host was seen to reach it at {where}"
        return [format_text(runs, "yellow", bold=True)]
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    alone = f"{registry_host} itself alone; whether other hosts reach it was not seen"
    return [
        format_text(f"The registry answers at {where}", "green", bold=True),
        f"    asked     from {', '.join(others[:MOST_NAMED]) + more or alone}",
    ]


def custom_passwords(run: Run) -> list[str]:
    """Return a line for each account that machines pull with and that has a custom password."""
    context = run.part(RegistryContext)
    settings = run.configuration.settings
    pulling = sorted({settings.registry_login_account, settings.registry_pull_secret_account})
    return [
        format_text(
            f"The account {name} has a custom password: each of its requests costs the registry host about "
            f"0.3 s of processor time; deploys/rotate_credentials.py, with --data registry_rotate_account={name}, "
            "gives it a generated one",
            "yellow",
        )
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
        "deploys/rotate_ca.py replaces it by one that does not",
        rollover.expiry_warning(found, now),
    )
    return [format_text(f"{line[0].upper()}{line[1:]}", "yellow") for line in said if line]


def _notes(run: Run) -> list[str]:
    notes = [(host, line) for host, said in run.report.notes.items() for line in said]
    return [format_text(f"    [{host}] {line}", "yellow") for host, line in notes]


def _timer(run: Run) -> list[str]:
    problem = timer.find_problem(run.inventory)
    return [format_text(f"    {problem}", "yellow")] if problem else []


def _left_to_do(run: Run) -> list[str]:
    if not run.report.problems:
        return []
    lines = ["", format_text("Not finished:", "red", bold=True)]
    for host, problems in run.report.problems.items():
        lines += [f"    [{host}] {problem}; {remedy}" for problem, remedy in problems]
    return lines


def _planned(run: Run) -> str:
    if run.report.problems:
        return "A run would stop where this plan did; nothing was changed."
    return f"{run.report.steps} steps; nothing was changed." if run.report.steps else "Nothing is to be done."
