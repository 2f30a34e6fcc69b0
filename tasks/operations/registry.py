"""The registry and its gateway on the registry host."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.model import accounts, registry
from tasks.model.registry import Desired, Secrets
from tasks.operations.carry_out import AnyStep, RemoteStep, carry_out
from tasks.run import ROOT, Run, current


@operation()
def serve() -> Generator[PyinfraCommand, None, None]:
    """Bring files and containers to what they should be."""
    yield from carry_out(
        host, lambda: _decide(current()), lambda: "its files and containers are as they should be"
    )
    # Reached in a run only, and there only after the last step has been taken well.
    current().served = True


def desire(run: Run) -> Desired:
    """Return what the registry host should have."""
    if run.leaf is None or run.http_secret is None:
        raise LookupError("the operations on certificates and accounts come first")
    former = {name: each.hashed for name, each in run.former.items()}
    secrets = Secrets(
        htpasswd=accounts.htpasswd(accounts.entries(run.hashes, former)),
        http_secret=run.http_secret,
        certificate_pem=run.leaf.certificate_pem,
        key_pem=run.leaf.key_pem,
    )
    return registry.desire(run.configuration.settings, secrets, run.images, str(ROOT / "templates"))


def _decide(run: Run) -> list[AnyStep]:
    if run.registry is None:
        raise LookupError("the operation on certificates comes first")
    desired = desire(run)
    steps = registry.steps(desired, run.registry, frozenset(run.made_images))
    certificate = f"{registry.FOLDER}/{registry.CERTIFICATE}"
    if not any(step.writes and step.path == certificate for step in steps):
        return [*steps]
    proof = registry.proof(desired, run.configuration.settings.registry_hostname)
    return [*steps, RemoteStep(proof, partial(_prove, run, desired))]


def _prove(run: Run, desired: Desired, told: str) -> None:
    if not registry.check_proof(desired, told):
        run.report.note(
            host.name,
            "which certificate is served was not proven: install openssl there to have it asked for",
        )
