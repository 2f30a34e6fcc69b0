"""A Docker host: the CA where the engine looks for it, and the registry's names in `/etc/hosts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from tasks.model import authority, files, hosts_file
from tasks.model.files import File, Folder, Observed
from tasks.model.settings import Settings
from tasks.model.steps import Conflict, Step

CERTS = "/etc/docker/certs.d"


@dataclass(frozen=True)
class DockerHost:
    """A Docker host as it is. `texts` has those of the files that are there, by path.

    Where `/etc/hosts` is a mount, as in a container, a rename is refused (EBUSY) and it is written in place.
    """

    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str]
    hosts_is_mount: bool


def ca_files(settings: Settings) -> list[str]:
    """Return where the engine looks for the CA, a file for each name (the port is part of the folder's name)."""
    return [f"{CERTS}/{name}/ca.crt" for name in settings.authorities]


def paths(settings: Settings) -> list[str]:
    """Return all paths to be told of."""
    written = ca_files(settings)
    folders = [CERTS, *(path.rpartition("/")[0] for path in written)]
    return [*folders, *written, *map(files.temporary, written)]


def texts(settings: Settings) -> list[str]:
    """Return the files whose texts are to be told."""
    return [*ca_files(settings), hosts_file.PATH, hosts_file.RESCUE]


def steps(settings: Settings, ca_pem: str, address: str, found: DockerHost) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise."""
    _check({path: found.texts[path] for path in ca_files(settings) if path in found.texts})
    wanted: list[Folder] = [Folder(CERTS)]
    for path in ca_files(settings):
        wanted += [Folder(path.rpartition("/")[0]), File(path, "0644", content=ca_pem)]
    placed = files.leftovers(found.paths) + files.place(wanted, found.paths)
    managed = settings.registry_manage_hosts_file
    names = [name for name in settings.names if authority.address(name) is None]
    return placed + hosts_file.steps(
        found.texts.get(hosts_file.PATH, ""),
        address if managed else None,
        names,
        is_mount=found.hosts_is_mount,
        rescue=found.texts.get(hosts_file.RESCUE),
    )


def _check(certificates: Mapping[str, str]) -> None:
    for path, text in certificates.items():
        try:
            others = [c for c in x509.load_pem_x509_certificates(text.encode()) if not authority.ours(c)]
        except ValueError:
            continue  # not a certificate: ours, damaged
        if others:
            raise Conflict(
                f"{path} holds a certificate of another authority ({others[0].subject.rfc4514_string()})",
                f"move it away (mv {path} {path}.old) and run again",
            )
