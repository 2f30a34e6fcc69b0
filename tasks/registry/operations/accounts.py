"""Passwords and their hashes, on the controller. The registry host gets the hashes, so it is its operation."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.accounts import former_passwords
from tasks.accounts import passwords as accounts
from tasks.accounts.passwords import FormerPassword
from tasks.registry.context import RegistryContext
from tasks.run.apply import AnyStep, LocalStep, apply_steps
from tasks.run.context import Run
from tasks.run.pending_hosts import client_hosts
from tasks.state import changes


@operation()
def apply() -> Generator[PyinfraCommand, None, None]:
    """Generate missing passwords, and hash those whose hash does not match."""
    yield from apply_steps(host, _decide, "every account has its password and hash")


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    generate, passwords = _passwords(run)
    present = context.present
    hashes = accounts.hashes(passwords, present.hashes)
    former = {} if context.outdated else _former(run, passwords, hashes)
    context.decide(passwords=passwords, hashes=hashes, former=former, changes=present.changes)
    if (hashes, former) != (present.hashes, present.former) or not present.changes or context.outdated:
        note_change(context, dt.datetime.now(dt.UTC))
    # This order keeps the former hash until every client has the new password, wherever a run is killed.
    return [*_keep_former(run), *_remove_gone(run), *generate, *_hash(run), *_share_http_secret(run)]


def note_change(context: RegistryContext, now: dt.datetime) -> None:
    """Note that this run changes the passwords. `write_former` and `_hash` write that down before what has changed."""
    on_host = context.found.change if context.found else ""
    context.decide(changes=changes.add(context.desired.changes, on_host, now))


def _remove_gone(run: Run) -> list[AnyStep]:
    """Return the steps that take the passwords of removed accounts away, so that none comes back with its name.

    A file without a hash never was an account's: somebody put it there for later.
    """
    context, steps = run.part(RegistryContext), list[AnyStep]()
    for name in sorted(set(context.present.passwords) - set(context.desired.passwords)):
        if name not in context.present.hashes:
            continue
        path = run.store.password_path(name)
        if accounts.is_generated(context.present.passwords[name]):
            text, action = f"remove {path}: the account is gone", partial(run.store.remove_password, name)
        else:
            text = f"rename {path} to {path.stem}.removed-…: the account is gone, and you chose that password"
            action = partial(run.store.set_password_aside, name, dt.datetime.now(dt.UTC))
        steps.append(LocalStep(text, action))
    return steps


def _passwords(run: Run) -> tuple[list[AnyStep], dict[str, str]]:
    """Return the steps that generate missing and requested passwords, and all passwords."""
    context = run.part(RegistryContext)
    settings = run.configuration.settings
    pending: Mapping[str, FormerPassword] = {}
    if "new passwords" in run.requests and not context.outdated:
        present = context.present.passwords
        pending = _former(run, present, accounts.hashes(present, context.present.hashes))
    steps: list[AnyStep] = []
    passwords = {}
    for name in settings.registry_accounts:
        password, reason = context.present.passwords.get(name), "it has none yet"
        if context.outdated and password is not None:
            password, reason = None, "the one in this older copy of the state may have been revoked"
        asked = "new passwords" in run.requests and settings.registry_rotate_account in {None, name}
        if asked and password is not None and name in pending:
            run.report.note(
                host.name,
                f"{name} still has a former password beside its present one of "
                f"{pending[name].since:%Y-%m-%d %H:%M} UTC: no further one is made, and this run moves clients to the "
                "present one; if that has leaked, run make revoke-passwords ACCOUNT={name}, and then this again",
            )
        elif password is not None and _was_asked_for(run, name, password):
            password, reason = None, "a run that was killed was to make a new one"
        elif asked and password is not None:
            password, reason = None, "a new one is asked for"
        if password is None:
            password = accounts.generate()
            write = partial(run.store.write_password, name, password)
            steps.append(LocalStep(f"generate a password for {name}: {reason}", write))
        passwords[name] = password
    return steps, passwords


def _was_asked_for(run: Run, name: str, password: str) -> bool:
    """Return whether a run was killed after it noted a password as former and before it wrote the next."""
    context = run.part(RegistryContext)
    known = context.present.former.get(name)
    return (
        known is not None
        and known.hashed == context.present.hashes.get(name)
        and accounts.is_generated(password)
        and accounts.fits(password, known.hashed)
    )


def _former(run: Run, passwords: Mapping[str, str], hashed: Mapping[str, str]) -> dict[str, FormerPassword]:
    """Return the former password of each account that has one, if these are its passwords and hashes."""
    context = run.part(RegistryContext)
    now, known = dt.datetime.now(dt.UTC), context.present.former
    found = accounts.find_former(passwords, hashed, context.present.hashes, known, now)
    return {
        name: each if each == known.get(name) else replace(each, hosts=_keeping(run, name))
        for name, each in found.items()
    }


def _keeping(run: Run, account: str) -> tuple[str, ...]:
    settings, hosts = run.configuration.settings, run.configuration.hosts
    found = {
        each
        for each, group in client_hosts(host)
        if former_passwords.stores_password(account, settings, hosts[each], group)
    }
    return tuple(sorted(found))


def _keep_former(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    present, desired = context.present.former, context.desired.former
    if desired == present:
        return []
    kept = [name for name in desired if desired[name] != present.get(name)]
    reasons = [
        f"the password of {name} stays good until the new one is everywhere"
        + (", the one before it is given up" if name in present else "")
        for name in kept
    ]
    reasons += [f"{name} has none any more" for name in present if name not in desired]
    return [write_former(run, ", ".join(reasons))]


def write_former(run: Run, reason: str) -> LocalStep:
    """Return the step that writes the former passwords, as they are when it is carried out, to `former.json`."""
    context = run.part(RegistryContext)

    def write() -> None:
        run.store.write_changes(context.desired.changes)
        run.store.write_former(context.desired.former)

    return LocalStep(f"write {run.store.folder}/former.json: {reason}", write)


def _hash(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    present, desired = context.present.hashes, context.desired.hashes
    changed = sorted(name for name in desired if desired[name] != present.get(name))
    gone = sorted(set(present) - set(desired))
    reasons = [f"{name} is new or has a new password" for name in changed]
    reasons += [f"{name} is gone" for name in gone]
    if reasons:
        text = f"write {run.store.folder}/htpasswd: {', '.join(reasons)}"
    elif not context.present.changes:
        text = f"write {run.store.folder}/changes: there is none yet"
    else:
        return []
    history = context.desired.changes

    def write() -> None:
        run.store.write_changes(history)
        run.store.write_hashes(desired)

    return [LocalStep(text, write)]


def _share_http_secret(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    if context.present.http_secret is not None:
        context.decide(http_secret=context.present.http_secret)
        return []
    secret = secrets.token_hex(32)
    context.decide(http_secret=secret)
    text = f"write {run.store.folder}/http.secret: there is none yet"
    return [LocalStep(text, partial(run.store.write_http_secret, secret))]
