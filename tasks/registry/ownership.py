"""What the controller's state and the registry host know of each other, and whether they belong together."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tasks.certificates import ca
from tasks.registry import containers, leaf
from tasks.registry.desired import FOLDER
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.steps import Conflict
from tasks.state.store import State


def check(state: State, folder: Path, host: str, found: RegistryHost) -> None:
    """Raise `Conflict` if the state in `folder` did not make what the registry host has or serves.

    `deploys/adopt.py` skips this check.
    """
    successor = state.successor
    # A successor issues nothing before the switch is decided. A leaf of its own then is newer than this state.
    issuing = successor.ca if successor and (successor.issuing_since or successor.retiring_old) else None
    known = [pair for pair in (state.authority, issuing) if pair]
    remedy = (
        f"put the right {folder} back from your backup; or, if it is lost, see docs/by-task.md, "
        '"The state is lost", for how to start again with deploys/adopt.py'
    )
    if state.registry_host not in {None, host}:
        raise Conflict(f"{folder} belongs to the registry on {state.registry_host}, not to this host", remedy)
    for verb, pem in (("has", found.installed), ("serves", found.served)):
        for each in leaf_of(pem):
            made_here = any(ca.issued_by(each, pair.certificate) for pair in known)
            if ca.is_ours(each) and not made_here:
                relation = "did not make" if known else "knows nothing of"
                raise Conflict(f"this host {verb} a registry certificate that {folder} {relation}", remedy)
    if not known and any(found.paths.get(f"{FOLDER}/{name}") for name in (leaf.LINK, leaf.FIRST)):
        raise Conflict(f"this host has a registry certificate, but {folder} is empty", remedy)


def storage_records(state: State, found: RegistryHost) -> list[Record]:
    """Return what is known of where the images were, the surest first: by the host, by the state, by our container.

    Deployments from before there were marks have the container alone. If the folder that it uses still belongs to its
    user, then this is the folder that a run made for it, be it empty.
    """
    records = [found.storage] if found.storage else []
    if state.storage:
        records.append(Record(*state.storage))
    report = found.containers.get(containers.REGISTRY)
    if records or report is None or containers.LABEL not in (report["Config"].get("Labels") or {}):
        return records
    sources = [each["Source"] for each in report["Mounts"] if each["Destination"] == containers.STORAGE]
    owners = {path: observed.owner for path, observed in found.paths.items() if observed}
    users = {containers.UID, containers.FORMER_UID}
    return [Record(source) for source in sources if owners.get(source) not in users]


def leaf_of(pem: str) -> list[x509.Certificate]:
    """Return the first certificate in a PEM text, none if it is not readable."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())[:1]
    except ValueError:
        return []
