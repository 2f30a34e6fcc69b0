"""Folders of the form of `certs.d`: our CA as a file in one, where others may have put theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509

from tasks.model import authority
from tasks.model.steps import Conflict


def check(paths: Iterable[str], texts: Mapping[str, str]) -> None:
    """Raise `Conflict` where one of `paths` holds a certificate of another authority; `texts` are those there are."""
    for path in paths:
        try:
            found = x509.load_pem_x509_certificates(texts.get(path, "").encode())
        except ValueError:
            continue  # not a certificate: ours, damaged
        if others := [certificate for certificate in found if not authority.ours(certificate)]:
            raise Conflict(
                f"{path} holds a certificate of another authority ({others[0].subject.rfc4514_string()})",
                f"move it away (mv {path} {path}.old) and run again",
            )


def stronger_folder(name: str) -> str | None:
    """Return the folder that is looked up before a name's own, or None (containerd's hosts.go, `hostDirectory`)."""
    host, _, port = name.rpartition(":")
    return f"{host}_{port}_" if host and port.isdigit() else None
