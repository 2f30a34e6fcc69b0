"""The leaf on the registry host: a file of its own for each, and a link that names the one in force.

nginx opens the path of a certificate twice in each handshake, for the certificate and for the key. If one file were
replaced by the next, a handshake could get halves of two leaves; so the gateway resolves the link once and opens the
file that it named (templates/gateway.conf.j2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from posixpath import basename, dirname

from tasks.remote import files
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict, Step

FOLDER = "gateway/tls"
LINK = f"{FOLDER}/current.pem"

FIRST = f"{FOLDER}/tls.pem"
"""The one file for all leaves that earlier gateways read. It is removed once the present gateway runs."""

KEPT_MINUTES = 60
"""How long a leaf stays that was replaced. A handshake under way may read it, even of a process that was stopped."""


def file(folder: str, certificate_pem: str, key_pem: str, user: int) -> File:
    """Return the file of a leaf with its chain and key, which only `user` may read; no other leaf has its name."""
    name = hashlib.sha256(certificate_pem.encode()).hexdigest()[:16]
    return File(f"{folder}/{FOLDER}/{name}.pem", "0600", user, user, certificate_pem + key_pem)


def steps(link: str, leaf: File, observed: Mapping[str, Observed | None], target: str) -> list[Step]:
    """Return the steps that put a leaf in force; `target` is what the link names now.

    Raises `Conflict` if a folder is in the link's place.
    """
    found = observed[link]
    if found is None:
        return [_write(link, leaf, "it is missing")]
    if found.kind == "directory":
        raise Conflict(
            f"{link} is a directory, but this project keeps a link there",
            f"move it away (mv {link} {link}.old) and run again",
        )
    if found.sha256 != leaf.sha256:
        return [_write(link, leaf, "its content is not as it should be")]
    if target != basename(leaf.path):
        return [_write(link, leaf, f"it names {target}" if target else f"it is a {found.kind}")]
    return files.place([leaf], observed)


def _write(link: str, leaf: File, reason: str) -> Step:
    """Return the step that writes the leaf, lets the link name it, and removes leaves that were replaced long ago."""
    name, new_link = basename(leaf.path), files.temporary(link)
    script = (
        f"umask 077; new={files.temporary(leaf.path)}; trap 'rm -f \"$new\" {new_link}' EXIT\n"
        f"{files.receive(leaf.content)} "
        f'&& chown {leaf.owner}:{leaf.group} "$new" && chmod {leaf.mode} "$new" '
        f'&& sync "$new" && mv -fT "$new" {leaf.path} || exit 1\n'
        # From now on the time of the file that the link named is that of its replacement.
        f'old=$(readlink -f {link}) && touch -c "$old"\n'
        f"ln -sfn {name} {new_link} && mv -fT {new_link} {link} || exit 1\n"
        f"find {dirname(link)} -name '????????????????.pem' ! -name {name} -mmin +{KEPT_MINUTES} -delete\n"
        f"{files.sync(dirname(link))}"
    )
    return Step(f"write {link}: {reason}", script, leaf.content, path=link, writes=True)
