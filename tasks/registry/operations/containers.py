"""Files and containers on the registry host."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.accounts import passwords
from tasks.registry import plan
from tasks.registry.context import RegistryContext
from tasks.registry.desired import CERTIFICATE, FOLDER, Desired, Secrets, desire, user_of
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, LocalStep, RemoteStep, apply_steps
from tasks.run.context import ROOT, Run, current


@operation()
def serve() -> Generator[PyinfraCommand, None, None]:
    """Bring files and containers to what they should be."""
    yield from apply_steps(host, _decide, "its files and containers are as they should be")
    if host.state.is_executing:  # reached only after the last step went well
        current().part(RegistryContext).served = True


def certificate(run: Run) -> list[AnyStep]:
    """Return the steps that install a leaf or chain which is new since the host's files were read."""
    desired = desired_host(run)
    return _with_proof(run, desired, [step for step in _steps(run, desired) if _writes_certificate(step)])


def _decide(run: Run) -> list[AnyStep]:
    desired = desired_host(run)
    return [*_with_proof(run, desired, _steps(run, desired)), *_note_storage(run)]


def _note_storage(run: Run) -> list[AnyStep]:
    """Return the step that notes in the state where the images are, once their folder has its mark."""
    context = run.part(RegistryContext)
    record = context.storage
    if record is None or record.id is None or context.present.storage == (record.path, record.id):
        return []
    context.decide(storage=(record.path, record.id))
    text = f"note {record.path} as the folder of the images: it is new to {run.store.folder}"
    return [
        LocalStep(
            text,
            lambda: run.store.write_record(host.name, context.desired.images, context.desired.storage),
        )
    ]


def desired_host(run: Run) -> Desired:
    """Return what the registry host should have."""
    context = run.part(RegistryContext)
    state, authorities = context.desired, context.authorities
    found, record = context.found, context.storage
    if authorities is None or state.leaf is None or state.http_secret is None or not (found and record):
        raise LookupError("the operations on certificates and accounts come first")
    former = {name: each.hashed for name, each in state.former.items()}
    secrets = Secrets(
        htpasswd=passwords.htpasswd(passwords.entries(state.hashes, former)),
        http_secret=state.http_secret,
        certificate_pem=state.leaf.certificate_pem + authorities.chain,
        key_pem=state.leaf.key_pem,
    )
    return desire(
        run.configuration.settings,
        secrets,
        context.images,
        str(ROOT / "templates"),
        record,
        user_of(found.paths[record.path]),
    )


def _steps(run: Run, desired: Desired) -> list[Step]:
    context = run.part(RegistryContext)
    if context.found is None:
        raise LookupError("the operation on certificates comes first")
    return plan.steps(desired, context.found, frozenset(context.made_images))


def _with_proof(run: Run, desired: Desired, steps: Sequence[Step]) -> list[AnyStep]:
    if not any(map(_writes_certificate, steps)):
        return [*steps]
    proof = plan.proof(desired, run.configuration.settings.registry_hostname)
    return [*steps, RemoteStep(proof, partial(_prove, run, desired))]


def _writes_certificate(step: Step) -> bool:
    return step.writes and step.path == f"{FOLDER}/{CERTIFICATE}"


def _prove(run: Run, desired: Desired, output: str) -> None:
    if not plan.check_proof(desired, output):
        run.report.note(
            host.name,
            "the certificate that is served was not checked: install openssl there to have it checked",
        )
