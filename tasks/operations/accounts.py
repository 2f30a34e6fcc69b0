"""Passwords and their hashes, on the controller; an operation of the registry host, which is given the hashes."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.model import accounts
from tasks.operations.carry_out import AnyStep, LocalStep, carry_out
from tasks.run import Run, current


@operation()
def apply() -> Generator[PyinfraCommand, None, None]:
    """Generate what passwords are missing, and hash those whose hash does not fit."""
    yield from carry_out(host, lambda: _decide(current()), lambda: "every account has its password and hash")


def _decide(run: Run) -> list[AnyStep]:
    steps: list[AnyStep] = []
    passwords = {}
    for name in run.configuration.settings.registry_accounts:
        password = run.state.passwords.get(name)
        if password is None:
            password = accounts.generate()
            write = partial(run.store.write_password, name, password)
            steps.append(LocalStep(f"generate a password for {name}: it has none yet", write))
        passwords[name] = password
    run.passwords = passwords
    run.hashes = hashes = accounts.hashes(passwords, run.state.hashes)
    changed = sorted(name for name in hashes if hashes[name] != run.state.hashes.get(name))
    gone = sorted(set(run.state.hashes) - set(hashes))
    if changed or gone:
        reasons = [f"{name} is new or has a new password" for name in changed] + [
            f"{name} is gone" for name in gone
        ]
        text = f"write {run.store.folder}/htpasswd: {', '.join(reasons)}"
        steps.append(LocalStep(text, partial(run.store.write_hashes, hashes)))
    run.http_secret = run.state.http_secret or secrets.token_hex(32)
    if run.state.http_secret is None:
        text = f"write {run.store.folder}/http.secret: there is none yet"
        steps.append(LocalStep(text, partial(run.store.write_http_secret, run.http_secret)))
    return steps
