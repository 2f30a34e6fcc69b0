"""Folders of the form of `certs.d`: our CA as a file for each name, where others may have put theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509

from tasks.certificates import ca
from tasks.remote import files
from tasks.remote.files import File, Folder
from tasks.remote.steps import Conflict


def certificates(certs: str, names: Iterable[str]) -> list[str]:
    """Return where the CA is looked for below `certs`, a file for each of `names` (with their port)."""
    return [f"{certs}/{name}/ca.crt" for name in names]


def paths(certs: str, names: Iterable[str]) -> list[str]:
    """Return all paths there to be told of."""
    return [certs, *files.observed_paths(certificates(certs, names))]


def wanted(certs: str, names: Iterable[str], ca_pem: str, owner: int = 0, group: int = 0) -> list[Folder]:
    """Return the folders and files that are to be there, each folder before what is in it."""
    items = [Folder(certs, owner=owner, group=group)]
    for path in certificates(certs, names):
        items.append(Folder(files.parent(path), owner=owner, group=group))
        items.append(File(path, "0644", owner, group, ca_pem))
    return items


def check(paths: Iterable[str], texts: Mapping[str, str]) -> None:
    """Raise `Conflict` where one of `paths` holds a certificate of another authority; `texts` are those there are."""
    for path in paths:
        try:
            found = x509.load_pem_x509_certificates(texts.get(path, "").encode())
        except ValueError:
            continue  # not a certificate: ours, damaged
        if others := [certificate for certificate in found if not ca.is_ours(certificate)]:
            raise Conflict(
                f"{path} holds a certificate of another authority ({others[0].subject.rfc4514_string()})",
                f"move it away (mv {path} {path}.old) and run again",
            )


def stronger_folder(name: str) -> str | None:
    """Return the folder that is looked up before a name's own, or None (containerd's hosts.go, `hostDirectory`)."""
    host, _, port = name.rpartition(":")
    return f"{host}_{port}_" if host and port.isdigit() else None
