"""Files and containers on the registry host."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.accounts import passwords
from tasks.registry import cache, keeper, plan, proof, usage, web
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, Desired, Secrets, desire, user_of
from tasks.registry.replacement import CLOSED, seconds_closed
from tasks.remote.steps import Step
from tasks.run.apply import AnyStep, LocalStep, RemoteStep, apply_steps
from tasks.run.context import ROOT, Run, current
from tasks.settings import listen
from tasks.state import history
from tasks.state.store import State


@operation()
def serve() -> Generator[PyinfraCommand, None, None]:
    """Bring files and containers to what they should be."""
    yield from apply_steps(host, _decide, "its files and containers are as they should be")
    if host.state.is_executing:  # reached only after the last step went well
        current().part(RegistryContext).served = True
        _keep_usage(current())


def _keep_usage(run: Run) -> None:
    """Keep how much is used in the state, once a day: a run that changes nothing writes nothing else.

    It is no reason for a run to fail.
    """
    found = run.part(RegistryContext).found
    if found is None or found.usage is None:
        return
    days = run.store.read_history()
    if (kept := history.add(days, usage.day_of(found.usage))) != days:
        with suppress(OSError):
            run.store.write_history(kept)


def certificate(run: Run) -> list[AnyStep]:
    """Return the steps that install a leaf or chain which is new since the host's files were read."""
    desired = desired_host(run)
    # Of the web page only this changes with it: the CAs that are to be trusted were written before.
    about = f"{FOLDER}/{web.SHOWN}/{web.ABOUT}"
    desired = replace(desired, page=tuple(file for file in desired.page if file.path == about))
    wanted = [step for step in _steps(run, desired) if _writes_certificate(step) or _tells_of_it(step)]
    return _with_proof(run, desired, wanted)


def _decide(run: Run) -> list[AnyStep]:
    desired = desired_host(run)
    if listen.is_ipv6(_listen(run)):
        run.report.note(host.name, listen.HIDDEN)
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
        htpasswd=passwords.htpasswd(passwords.entries(state.hashes, former), str(state.changes[-1])),
        http_secret=state.http_secret,
        certificate_pem=state.leaf.certificate_pem + authorities.chain,
        key_pem=state.leaf.key_pem,
        authorization=_authorization(state),
    )
    return desire(
        run.configuration.settings,
        secrets,
        context.images,
        str(ROOT / "templates"),
        record,
        user_of(found.paths[record.path]),
        _listen(run),
        _caches(run, user_of(found.paths[record.path])),
        web.page(
            run.configuration.settings,
            authorities,
            state.leaf.certificate.not_valid_after_utc,
            ROOT / "files",
        ),
    )


def _caches(run: Run, user: int) -> cache.Parts | None:
    """Return what the caches need; `Conflict` if the host or the state lacks some of it."""
    context, settings = run.part(RegistryContext), run.configuration.settings
    if not settings.registry_caches or context.found is None:
        return None
    secrets = run.store.read_upstream_secrets(settings.registry_cache_accounts)
    # A pulled image of the gateway is that of the caches too.
    image = context.images.get("cache", context.images["gateway"])
    return cache.parts(
        settings,
        FOLDER,
        str(ROOT / "templates"),
        image,
        cache.bundle(context.found.paths),
        secrets,
        context.server_names(settings),
        user,
    )


def _listen(run: Run) -> str:
    settings = run.configuration.settings
    return listen.address(settings.registry_listen_address, run.part(RegistryContext).server_names(settings))


def _authorization(state: State) -> str:
    """Return the header that logs in one account, whichever; beside a former password the present one is the next."""
    name, password = next(iter(state.passwords.items()))
    entry = f"{passwords.NEXT}{name}" if name in state.former else name
    return f"Basic {b64encode(f'{entry}:{password}'.encode()).decode()}"


def _steps(run: Run, desired: Desired) -> list[Step]:
    context = run.part(RegistryContext)
    if context.found is None:
        raise LookupError("the operation on certificates comes first")
    return plan.steps(desired, context.found, frozenset(context.made_images))


def _with_proof(run: Run, desired: Desired, steps: Sequence[Step]) -> list[AnyStep]:
    then = {CLOSED: _note_gap, keeper.REPLACE: _note_measured}
    told: list[AnyStep] = []
    for step in steps:
        found = next((note for sign, note in then.items() if sign in step.script), None)
        told.append(RemoteStep(step, partial(found, run)) if found else step)
    if not any(map(_writes_certificate, steps)):
        return told
    settings = run.configuration.settings
    asked = proof.proof(settings.local_endpoint, settings.registry_hostname)
    return [*told, RemoteStep(asked, partial(_prove, run, desired))]


def _note_gap(run: Run, output: str) -> None:
    if seconds := seconds_closed(output):
        run.report.note(
            host.name,
            f"port {run.configuration.settings.registry_port} was closed for {seconds:.1f} seconds while the gateway "
            "was replaced",
        )


def _note_measured(run: Run, output: str) -> None:
    """Note what a new keeper has measured already."""
    context, measured = run.part(RegistryContext), usage.read_measured(output)
    if measured and context.found and context.found.usage:
        now = replace(context.found.usage, measured=measured, now=measured.at)
        context.found = replace(context.found, usage=now)


def _writes_certificate(step: Step) -> bool:
    return step.writes and step.path == plan.CERTIFICATE


def _tells_of_it(step: Step) -> bool:
    return step.path == f"{FOLDER}/{web.FOLDER}"


def _prove(run: Run, desired: Desired, output: str) -> None:
    if not proof.check_proof(desired, output):
        run.report.note(
            host.name,
            "the certificate that is served was not checked: install openssl there to have it checked",
        )
