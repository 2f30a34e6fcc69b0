"""The certificate authority and the leaf, on the controller; an operation of the registry host, whose facts decide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator

from cryptography import x509
from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.facts.registry import RegistryFact
from tasks.model import authority, containers, docker_engine, images, registry
from tasks.model.authority import Pair
from tasks.model.registry import RegistryHost
from tasks.model.steps import Conflict
from tasks.operations.carry_out import AnyStep, LocalStep, carry_out, read
from tasks.run import ROOT, Run, current


@operation()
def renew() -> Generator[PyinfraCommand, None, None]:
    """Make the CA where nothing was made yet, and a leaf where one is due."""
    yield from carry_out(host, lambda: _decide(current()), lambda: _still_good(current()))


def look(run: Run) -> RegistryHost:
    """Read the state, and what the registry host has; `StateError`, `Conflict` where either cannot be known."""
    settings = run.configuration.settings
    run.state = run.store.read()
    script = (ROOT / "files/build_image.sh").read_text()
    needed = images.wanted(settings, run.state.images, script)
    found = read(
        host,
        RegistryFact,
        paths=registry.paths(settings),
        containers=[containers.REGISTRY, containers.GATEWAY],
        targets=[containers.CONFIG, containers.GATEWAY_CONFIG, containers.SOCKETS, containers.STORAGE],
        images=[image.reference for image in needed.values() if image.reference],
        certificate=f"{registry.FOLDER}/{registry.CERTIFICATE}",
        port=settings.registry_port,
        server_name=settings.registry_hostname,
    )
    if found.engine == "silent":
        raise docker_engine.silent()
    return found


def _decide(run: Run) -> list[AnyStep]:
    settings = run.configuration.settings
    run.registry = look(run)
    _check_belongs(run)
    run.address = settings.registry_address or run.registry.address
    if run.address is None:
        raise Conflict(
            "it has no default route to tell its address from", "set registry_address and run again"
        )
    names = [*settings.names, *([run.address] if run.address not in settings.names else [])]
    now = dt.datetime.now(dt.UTC)
    steps: list[AnyStep] = []
    run.authority = run.state.authority
    if run.authority is None:
        run.authority = made = authority.make_authority(names, settings.registry_ca_days, now)
        steps.append(
            LocalStep(
                f"make a certificate authority in {run.store.folder}: there is none yet",
                lambda: run.store.write_authority(made),
            )
        )
    if steps or not run.store.authority_path.exists():
        shown = run.authority
        steps.append(
            LocalStep(
                f"write {run.store.authority_path}: it is missing", lambda: run.store.write_public(shown)
            )
        )
    if run.state.registry_host != host.name:
        steps.append(
            LocalStep(
                f"note {host.name} as the registry host: it is new to {run.store.folder}",
                lambda: run.store.write_record(host.name, run.state.images),
            )
        )
    run.leaf, reason = _leaf(run, run.authority, names, now)
    if reason:
        new = run.leaf
        steps.append(
            LocalStep(
                f"make a certificate for {', '.join(names)}: {reason}", lambda: run.store.write_leaf(new)
            )
        )
    return steps


def _leaf(run: Run, ca: Pair, names: list[str], now: dt.datetime) -> tuple[Pair, str | None]:
    settings, present = run.configuration.settings, run.state.leaf
    reason: str | None = "there is none yet"
    if present:
        reason = authority.leaf_due(
            present.certificate,
            ca.certificate,
            names,
            settings.registry_leaf_days,
            settings.renew_before_days,
            now,
        )
        if reason is None and "new certificate" in run.asked:
            reason = "it is asked for"
        if reason is None:
            return present, None
    return authority.make_leaf(ca, names, settings.registry_leaf_days, now), reason


def _check_belongs(run: Run) -> None:
    """Raise `Conflict` where state and registry host do not belong together; adopting is the way past it."""
    if "adopt" in run.asked or run.registry is None:
        return
    folder, ca = run.store.folder, run.state.authority
    way_on = (
        f"put the right {folder} back from your backup; or, if it is lost, see docs/when-something-is-wrong.md, "
        '"The state is lost", for how to begin anew with deploys/adopt.py'
    )
    if run.state.registry_host not in {None, host.name}:
        raise Conflict(
            f"{folder} belongs to the registry on {run.state.registry_host}, not to this host", way_on
        )
    for where, pem in (("has", run.registry.installed), ("serves", run.registry.served)):
        for certificate in _leaf_of(pem):
            if authority.ours(certificate) and not (ca and authority.issued_by(certificate, ca.certificate)):
                known = "knows nothing of" if ca is None else "did not make"
                raise Conflict(f"this host {where} a registry certificate that {folder} {known}", way_on)
    if ca is None and run.registry.paths[f"{registry.FOLDER}/{registry.CERTIFICATE}"]:
        raise Conflict(f"this host has a registry certificate, but {folder} is empty", way_on)


def _leaf_of(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())[:1]
    except ValueError:
        return []


def _still_good(run: Run) -> str:
    if run.leaf is None:
        return "nothing was decided"
    end = run.leaf.certificate.not_valid_after_utc
    renewal = authority.renew_on(run.leaf.certificate, run.configuration.settings.renew_before_days)
    return f"the certificate is good until {end:%Y-%m-%d} and is renewed from {renewal:%Y-%m-%d} on"
