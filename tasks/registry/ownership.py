"""Whether the controller's state and the registry host belong together; `deploys/adopt.py` skips this check."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tasks.certificates import ca
from tasks.registry.desired import CERTIFICATE, FOLDER
from tasks.registry.plan import RegistryHost
from tasks.remote.steps import Conflict
from tasks.state.store import State


def check(state: State, folder: Path, host: str, found: RegistryHost) -> None:
    """Raise `Conflict` if the state in `folder` did not make what the registry host has or serves."""
    successor = state.successor
    # A successor issues nothing before the switch is decided. A leaf of its own then is newer than this state.
    issuing = successor.ca if successor and (successor.issuing_since or successor.retiring_old) else None
    known = [pair for pair in (state.authority, issuing) if pair]
    remedy = (
        f"put the right {folder} back from your backup; or, if it is lost, see docs/when-something-is-wrong.md, "
        '"The state is lost", for how to start again with deploys/adopt.py'
    )
    if state.registry_host not in {None, host}:
        raise Conflict(f"{folder} belongs to the registry on {state.registry_host}, not to this host", remedy)
    for verb, pem in (("has", found.installed), ("serves", found.served)):
        for leaf in _leaf_of(pem):
            made_here = any(ca.issued_by(leaf, pair.certificate) for pair in known)
            if ca.is_ours(leaf) and not made_here:
                relation = "did not make" if known else "knows nothing of"
                raise Conflict(f"this host {verb} a registry certificate that {folder} {relation}", remedy)
    if not known and found.paths[f"{FOLDER}/{CERTIFICATE}"]:
        raise Conflict(f"this host has a registry certificate, but {folder} is empty", remedy)


def _leaf_of(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())[:1]
    except ValueError:
        return []
