"""What the controller's state and the registry host know of each other, and whether they belong together."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tasks.certificates import ca
from tasks.registry import containers
from tasks.registry import leaf as leaf_files
from tasks.registry.desired import FOLDER
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.steps import Conflict
from tasks.state import siblings
from tasks.state.store import State

PAGE = "docs/by-task.md"


@dataclass(frozen=True)
class Claimant:
    """Who says that a registry host is theirs: the inventory, its name for that host, and its state in a folder.

    `places` are further folders of states on this controller.
    """

    inventory: str
    host: str
    folder: Path
    state: State
    places: tuple[Path, ...] = ()

    @property
    def issuers(self) -> list[x509.Certificate]:
        """The certificates of the CAs that may have issued what the host has."""
        successor = self.state.successor
        # A successor issues nothing before the switch is decided. A leaf of its own then is newer than this state.
        issuing = successor.ca if successor and (successor.issuing_since or successor.retiring_old) else None
        return [pair.certificate for pair in (self.state.authority, issuing) if pair]


def check(claimant: Claimant, found: RegistryHost) -> None:
    """Raise `Conflict` if the claimant's state did not make what the registry host has or serves.

    A host that has the state's very leaf is the same registry under another name in the inventory.
    """
    folder, state = claimant.folder, claimant.state
    owner = state.registry_host if state.registry_host not in {None, claimant.host} else None
    lost = (
        f"put the right {folder} back from your backup; or, if it is lost, see {PAGE}, "
        '"The state is lost", for how to start again with make adopt'
    )
    for verb, leaf in _leaves_of_others(claimant, found):
        if maker := siblings.find_maker(leaf, folder, claimant.places):
            raise Conflict(
                f"this host {verb} a registry certificate that {maker} made, and not {folder}",
                _use(maker, claimant),
            )
        relation = "did not make" if claimant.issuers else "knows nothing of"
        whose = f" (it is the state of the registry on {owner})" if owner else ""
        raise Conflict(f"this host {verb} a registry certificate that {folder} {relation}{whose}", lost)
    if not claimant.issuers and any(
        found.paths.get(f"{FOLDER}/{name}") for name in (leaf_files.LINK, leaf_files.FIRST)
    ):
        raise Conflict(f"this host has a registry certificate, but {folder} is empty", lost)
    if owner and not _has_its_leaf(state, found):
        raise Conflict(
            f"{folder} is the state of the registry on {owner}, and this host does not have its certificate",
            f"if the registry moves to {claimant.host}, copy its images there and run make adopt, which keeps CA "
            f'and passwords (see {PAGE}, "The registry on another machine"); if not, correct the group registry in '
            f"{claimant.inventory}",
        )


def adopt(claimant: Claimant, found: RegistryHost, *, outdated: bool) -> str:
    """Return what taking the host over does to CA and passwords, for people.

    `outdated` means that the state is an older copy. Raises `Conflict` if a new CA would be made though another state
    on this controller has the one that clients trust.
    """
    folder, state = claimant.folder, claimant.state
    others = [leaf for _, leaf in _leaves_of_others(claimant, found)]
    if state.authority is None:
        for leaf in others:
            if maker := siblings.find_maker(leaf, folder, claimant.places):
                raise Conflict(
                    f"the state of this registry is not lost: {maker} made its certificate",
                    f"{_use(maker, claimant)}; or, for a new CA all the same, move it away first: "
                    f"mv -T {shlex.quote(str(maker))} {shlex.quote(f'{maker}.former')}",
                )
        return f"{folder} is new: machines outside of the inventory need its ca.crt, and everyone has to log in again"
    if outdated:
        return f"{folder} is an older copy: its CA stays, and every account gets a new password"
    if others:
        return (
            f"CA and passwords of {folder} stay, and this host had a certificate of another CA: machines outside of "
            f"the inventory that trust that one need {folder}/ca.crt"
        )
    return f"CA and passwords of {folder} stay: what trusts them goes on to do so"


def _leaves_of_others(claimant: Claimant, found: RegistryHost) -> list[tuple[str, x509.Certificate]]:
    """Return our kind of leaf that the host has or serves, and that the claimant's state did not make."""
    return [
        (verb, leaf)
        for verb, pem in (("has", found.installed), ("serves", found.served))
        for leaf in leaf_of(pem)
        if ca.is_ours(leaf) and not any(ca.issued_by(leaf, issuer) for issuer in claimant.issuers)
    ]


def _has_its_leaf(state: State, found: RegistryHost) -> bool:
    return state.leaf is not None and state.leaf.certificate in leaf_of(found.installed)


def _use(maker: Path, claimant: Claimant) -> str:
    """Return what to do if another state is the registry's: run with its inventory, or have it for this one."""
    inventory = siblings.inventory_of(maker)
    use = (
        f"make deploy INVENTORY={shlex.quote(os.path.relpath(inventory))} goes on with it"
        if inventory
        else ""
    )
    take = f"{siblings.move(maker, claimant.folder)}, and run again"
    return f"{use}; or, if {claimant.inventory} takes its place: {take}" if use else take


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
