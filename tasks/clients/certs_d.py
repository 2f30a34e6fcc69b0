"""A `certs.d` folder, with our CA in a file for each name, among files of other registries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509

from tasks.certificates import ca
from tasks.remote import files
from tasks.remote.files import File, Folder
from tasks.remote.steps import Conflict


def certificates(certs: str, names: Iterable[str]) -> list[str]:
    """Return the paths of the CA below `certs`, one for each of `names` (with their port)."""
    return [f"{certs}/{name}/ca.crt" for name in names]


def paths(certs: str, names: Iterable[str]) -> list[str]:
    """Return all paths to look at there."""
    return [certs, *files.observed_paths(certificates(certs, names))]


def wanted(certs: str, names: Iterable[str], ca_pem: str, owner: int = 0, group: int = 0) -> list[Folder]:
    """Return the folders and files that must be there, each folder before what is in it."""
    items = [Folder(certs, owner=owner, group=group)]
    for path in certificates(certs, names):
        items.append(Folder(files.parent(path), owner=owner, group=group))
        items.append(File(path, "0644", owner, group, ca_pem))
    return items


def check(paths: Iterable[str], texts: Mapping[str, str]) -> None:
    """Raise `Conflict` if one of `paths` holds a certificate of another authority. `texts` are the existing files."""
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


def has_all(text: str, ca_pem: str) -> bool:
    """Return whether a file's text has every certificate of `ca_pem`, among others or not."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return False
    return set(x509.load_pem_x509_certificates(ca_pem.encode())) <= set(found)


def stronger_folder(name: str) -> str | None:
    """Return the folder that is looked up before that of `name`, or None (containerd's hosts.go, `hostDirectory`)."""
    host, _, port = name.rpartition(":")
    return f"{host}_{port}_" if host and port.isdigit() else None
