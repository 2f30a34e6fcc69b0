"""Revoke former passwords, once every client has the present one, which works, and nobody uses the former."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Generator, Sequence
from functools import partial

import gevent
from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import get_fact
from pyinfra.api.operation import operation

from tasks.accounts import former_passwords
from tasks.accounts.former_passwords import QUIET
from tasks.registry import plan as registry
from tasks.registry.context import RegistryContext
from tasks.registry.operations import containers as registry_host
from tasks.registry.operations.accounts import note_change, write_former
from tasks.remote.steps import Conflict
from tasks.rotations.facts import FormerPasswordsFact
from tasks.run import output
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, stop_host
from tasks.run.context import Run, current
from tasks.run.pending_hosts import pending_hosts

PATIENCE = 120.0
"""Seconds that a run waits for pulls and pushes that began with a former password. The next run waits again."""


@operation()
def revoke() -> Generator[PyinfraCommand, None, None]:
    """Revoke the former passwords that nobody needs any more."""
    yield from apply_steps(host, _decide, _noop_reason)
    if host.name in current().report.problems and host not in host.state.failed_hosts:
        yield from stop_host(host)  # a part of it was refused alone, which kept nothing here waiting


def _noop_reason(run: Run) -> str:
    context = run.part(RegistryContext)
    return f"still accepted: {', '.join(context.desired.former)}" if context.desired.former else ""


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    now = dt.datetime.now(dt.UTC)
    # Passwords that are to be revoked now do not wait for others.
    ready = [name for name in context.desired.former if _forced(run, name)] or _unused(
        run, [name for name in context.desired.former if _ready(run, name, now)]
    )
    if not ready:
        return []
    settings = run.configuration.settings
    proofs = [former_passwords.prove(context.login(name), settings) for name in ready]
    flag_files = [item.path for item in registry_host.desired_host(run).files]
    context.decide(former=former_passwords.without(context.desired.former, ready))
    note_change(context, now)
    return [
        *(
            RemoteStep(proof, partial(_check_login, run, name))
            for proof, name in zip(proofs, ready, strict=True)
        ),
        write_former(run, f"the former password of {', '.join(ready)} is no longer needed"),
        *registry.revoke(registry_host.desired_host(run), flag_files),
    ]


def _forced(run: Run, name: str) -> bool:
    only = run.configuration.settings.registry_rotate_account
    return "revoke passwords" in run.requests and only in {None, name}


def _ready(run: Run, name: str, now: dt.datetime) -> bool:
    """Return whether every client has the present password and the grace period is over; note it if not."""
    context = run.part(RegistryContext)
    configuration = run.configuration
    settings = configuration.settings
    missing = pending_hosts(
        run,
        host,
        lambda each, group: (
            each in context.desired.former[name].hosts
            or former_passwords.stores_password(name, settings, configuration.hosts[each], group)
        ),
    )
    if missing:
        _note(
            run,
            name,
            f"{', '.join(missing)} may still need it; fix that and run again, or excuse a host that is gone for good "
            f"(make deploy DATA=registry_excused_hosts={missing[0]})",
        )
        return False
    until, why = former_passwords.good_until(context.desired.former[name], settings)
    if until > now:
        _note(run, name, f"until {until:%Y-%m-%d %H:%M} UTC ({why}); a run after that revokes it")
    return until <= now


def _unused(run: Run, names: Sequence[str]) -> list[str]:
    """Wait until nobody uses the former passwords of these accounts; return the accounts that nobody uses them of.

    Wait for `QUIET` at least: a client may have read its login just before it was given the present one.
    """
    if not (names and host.state.is_executing):
        return list(names)
    end = time.monotonic() + PATIENCE
    with output.under_way(f"[{host.name}] wait until nobody uses the former password of {', '.join(names)}"):
        gevent.sleep(QUIET)
        while (in_use := _current_users(_read_log(run), names)) and time.monotonic() < end:
            gevent.sleep(1)
    for name, who in in_use.items():
        _note(
            run,
            name,
            f"{who} it; the next run checks again, make revoke-passwords ACCOUNT={name} revokes it now",
        )
    return [name for name in names if name not in in_use]


def _current_users(log: former_passwords.Log, names: Sequence[str]) -> dict[str, str]:
    """Return the accounts whose former password is in use, each with who uses it, as the start of a sentence."""
    uploads, users = former_passwords.uploads(log), former_passwords.users(log)
    if uploads:
        return dict.fromkeys(names, f"a push to {', '.join(sorted(uploads))} may have begun with")
    return {name: f"{', '.join(sorted(users[name]))} uses" for name in names if name in users}


def _read_log(run: Run) -> former_passwords.Log:
    arguments = {"settings": run.configuration.settings}
    log: former_passwords.Log | None = get_fact(
        host.state, host, FormerPasswordsFact, kwargs=arguments, apply_failed_hosts=False
    )
    if log is None:
        raise Conflict(
            "who still uses a former password could not be read (see above), so none is revoked yet",
            "fix that and run again",
        )
    return log


def _note(run: Run, name: str, why: str) -> None:
    run.report.note(host.name, f"the former password of {name} is still accepted: {why}")


def _check_login(run: Run, name: str, output: str) -> None:
    if not former_passwords.check_proof(output):
        run.report.note(
            host.name,
            f"the present password of {name} was not tried before revoking the former one: install openssl on this "
            "host for that",
        )
