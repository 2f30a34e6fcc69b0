"""The certificate authority and the leaf, on the controller; an operation of the registry host, whose facts decide.

During a rollover the leaf follows from its stage, and so does what hosts are to trust.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from dataclasses import replace
from functools import partial

from cryptography import x509
from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks import docker_engine
from tasks.certificates import ca as authority
from tasks.certificates import rollover
from tasks.certificates.ca import Pair
from tasks.certificates.rollover import Successor
from tasks.registry import containers, images, plan
from tasks.registry.facts import RegistryFact
from tasks.registry.plan import RegistryHost
from tasks.remote.steps import Conflict
from tasks.run.apply import AnyStep, LocalStep, carry_out, read
from tasks.run.context import ROOT, Run, current


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
        paths=plan.paths(settings),
        containers=[containers.REGISTRY, containers.GATEWAY],
        targets=[containers.CONFIG, containers.GATEWAY_CONFIG, containers.SOCKETS, containers.STORAGE],
        images=[image.reference for image in needed.values() if image.reference],
        certificate=f"{plan.FOLDER}/{plan.CERTIFICATE}",
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
    now = dt.datetime.now(dt.UTC)
    steps = _authorities(run, now)
    if run.state.registry_host != host.name:
        steps.append(
            LocalStep(
                f"note {host.name} as the registry host: it is new to {run.store.folder}",
                lambda: run.store.write_record(host.name, run.state.images),
            )
        )
    return steps + leaf(run, run.state.leaf, now, asked="new certificate" in run.asked)


def leaf(run: Run, present: Pair | None, now: dt.datetime, *, asked: bool = False) -> list[AnyStep]:
    """Return the step to a new leaf where one is due, by the authority whose turn it is, and note it in the run."""
    if run.authorities is None:
        raise LookupError("the certificate authority comes first")
    served = run.authorities.servable(run.names)
    issuer, settings = run.authorities.issuer, run.configuration.settings
    reason: str | None = "there is none yet"
    if present:
        reason = authority.leaf_due(
            present.certificate,
            issuer.certificate,
            served,
            settings.registry_leaf_days,
            settings.renew_before_days,
            now,
        )
        reason = reason or ("it is asked for" if asked else None)
        if reason is None:
            run.leaf = present
            return []
    run.leaf = authority.make_leaf(issuer, served, settings.registry_leaf_days, now)
    write = partial(run.store.write_leaf, run.leaf)
    return [LocalStep(f"make a certificate for {', '.join(served)}: {reason}", write)]


def _authorities(run: Run, now: dt.datetime) -> list[AnyStep]:
    """Return the steps to the authorities that are wanted, and note these in the run."""
    settings, folder = run.configuration.settings, run.store.folder
    steps: list[AnyStep] = []
    present, successor = run.state.authority, run.state.successor
    if present is None:
        present = authority.make_authority(run.names, settings.registry_ca_days, now)
        make = partial(run.store.authorities.write, present)
        steps.append(LocalStep(f"make a certificate authority in {folder}: there is none yet", make))
    elif successor is None and "new CA" in run.asked:
        successor = rollover.succeed(present, run.names, settings.registry_ca_days, now)
        make = partial(run.store.authorities.write_successor, successor, present)
        steps.append(LocalStep(f"make a new certificate authority in {folder}: it is asked for", make))
    elif successor:
        if "new CA" in run.asked:
            run.report.note(
                host.name,
                "a CA rollover was under way already and is carried on with; no further one was begun",
            )
        successor, carried_on = _carry_on(run, present, successor, now)
        steps += carried_on
    elif "retire CA" in run.asked:
        run.report.note(host.name, "there is no old certificate authority to retire")
    run.authorities = found = rollover.at(present, successor, settings.registry_ca_overlap_days, now)
    if found.ran_out and successor is None:
        end = present.certificate.not_valid_after_utc
        raise Conflict(
            f"the certificate authority ran out on {end:%Y-%m-%d}, and with it every certificate of the registry",
            "run deploys/rotate_ca.py, which makes a new one and gives it to every host",
        )
    shown = run.store.read_public()
    if shown != found.trusted:
        reason = "it is missing" if shown is None else "it is not what clients are to trust now"
        write = partial(run.store.write_public, found.trusted)
        steps.append(LocalStep(f"write {run.store.authority_path}: {reason}", write))
    return steps


def _carry_on(
    run: Run, present: Pair, successor: Successor, now: dt.datetime
) -> tuple[Successor, list[AnyStep]]:
    """Return a rollover's successor with what this run decides on it, and the steps to that."""
    steps: list[AnyStep] = []
    found = rollover.at(present, successor, run.configuration.settings.registry_ca_overlap_days, now)
    asked = "retire CA" in run.asked
    if asked and found.stage == "spreading":
        raise Conflict(
            "the old certificate authority cannot be retired before the new one serves",
            "run deploys/rotate_ca.py, which says what it waits for, and then this again",
        )
    if successor.cross is None and (cross := authority.make_cross(present, successor.pair, now)):
        successor = replace(successor, cross=cross)
        write = partial(run.store.authorities.write_cross, successor.pair, cross)
        steps.append(
            LocalStep("certify the new certificate authority by the old one: cross.crt is missing", write)
        )
    if not successor.retiring and (asked or found.stage == "retiring"):
        successor = replace(successor, switched=successor.switched or now.date(), retiring=True)
        reason = "it ran out" if found.ran_out else "it is asked for" if asked else "the overlap is over"
        write = partial(run.store.authorities.write_rollover, successor, present)
        steps.append(LocalStep(f"retire the old certificate authority: {reason}", write))
    return successor, steps


def _check_belongs(run: Run) -> None:
    """Raise `Conflict` where state and registry host do not belong together; adopting is the way past it."""
    if "adopt" in run.asked or run.registry is None:
        return
    folder, successor = run.store.folder, run.state.successor
    # A successor issues nothing before it is decided: what it issued then is of a time after this state's.
    issuing = successor.pair if successor and (successor.switched or successor.retiring) else None
    known = [pair for pair in (run.state.authority, issuing) if pair]
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
            made_here = any(authority.issued_by(certificate, ca.certificate) for ca in known)
            if authority.ours(certificate) and not made_here:
                relation = "did not make" if known else "knows nothing of"
                raise Conflict(f"this host {where} a registry certificate that {folder} {relation}", way_on)
    if not known and run.registry.paths[f"{plan.FOLDER}/{plan.CERTIFICATE}"]:
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
