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
    """A Docker host as it is. `certificates` are the texts of the CA files at our paths.

    Where `/etc/hosts` is a mount, as in a container, a rename is refused (EBUSY) and it is written in place;
    `hosts_rescue` is the whole text that a killed run was about to write there.
    """

    paths: Mapping[str, Observed | None]
    hosts_text: str
    hosts_is_mount: bool
    hosts_rescue: str | None
    certificates: Mapping[str, str]


def ca_files(settings: Settings) -> list[str]:
    """Return where the engine looks for the CA, a file for each name (the port is part of the folder's name)."""
    return [f"{CERTS}/{name}/ca.crt" for name in settings.authorities]


def paths(settings: Settings) -> list[str]:
    """Return all paths to be told of."""
    written = ca_files(settings)
    folders = [CERTS, *(path.rpartition("/")[0] for path in written)]
    return [*folders, *written, *map(files.temporary, written)]


def steps(settings: Settings, ca_pem: str, address: str, found: DockerHost) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise."""
    _check(found)
    wanted: list[Folder] = [Folder(CERTS)]
    for path in ca_files(settings):
        wanted += [Folder(path.rpartition("/")[0]), File(path, "0644", content=ca_pem)]
    placed = files.leftovers(found.paths) + files.place(wanted, found.paths)
    managed = settings.registry_manage_hosts_file
    names = [name for name in settings.names if authority.address(name) is None]
    return placed + hosts_file.steps(
        found.hosts_text,
        address if managed else None,
        names,
        is_mount=found.hosts_is_mount,
        rescue=found.hosts_rescue,
    )


def _check(found: DockerHost) -> None:
    for path, text in found.certificates.items():
        try:
            others = [c for c in x509.load_pem_x509_certificates(text.encode()) if not authority.ours(c)]
        except ValueError:
            continue  # not a certificate: ours, damaged
        if others:
            raise Conflict(
                f"{path} holds a certificate of another authority ({others[0].subject.rfc4514_string()})",
                f"move it away (mv {path} {path}.old) and run again",
            )
