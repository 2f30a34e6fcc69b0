"""The system's trust store: our certificates among those that all programs of a host trust.

Each family of distributions has a folder for the administrator's certificates and a program that makes the store from
it: update-ca-certificates(8), update-ca-trust(8), trust(1). Whether that program has to run follows from the content of
the store and the time of the folder, not from what this run has written.
"""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tasks.certificates.ca import ORGANIZATION
from tasks.remote import files
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict, Step

MOST = 2
"""How many certificates there are at most: the old and the new one, during a CA rollover."""


@dataclass(frozen=True)
class Family:
    """How a family of distributions keeps its store.

    `folder` is the administrator's, `store` the file that programs read. `program` makes it, by the command `refresh`,
    and is part of `package`. `hashes` is the folder of OpenSSL's links by hash, which some programs read instead.
    `anchors` selects the files of the folder that go into the store, as arguments of find(1).
    """

    folder: str
    store: str
    program: str
    refresh: str
    package: str
    hashes: str | None = None
    anchors: str = "-maxdepth 1 -type f ! -name '.*'"


# update-ca-certificates makes OpenSSL's links only if a file is new or gone, not if its content has changed. Without
# our links it takes our files for new.
DEBIAN = Family(
    "/usr/local/share/ca-certificates",
    "/etc/ssl/certs/ca-certificates.crt",
    "update-ca-certificates",
    "rm -f /etc/ssl/certs/homelab-registry.pem /etc/ssl/certs/homelab-registry-2.pem && update-ca-certificates",
    "ca-certificates",
    "/etc/ssl/certs",
    "-type f -name '*.crt'",
)
RHEL = Family(
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "update-ca-trust",
    "update-ca-trust extract",
    "ca-certificates",
)
ARCH = Family(
    "/etc/ca-certificates/trust-source/anchors",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "trust",
    "trust extract-compat",
    "p11-kit",
)
FAMILIES = {"debian": DEBIAN, "ubuntu": DEBIAN, "rhel": RHEL, "fedora": RHEL, "centos": RHEL, "arch": ARCH}
"""By the words of os-release's ID and ID_LIKE."""


@dataclass(frozen=True)
class TrustStore:
    """A host's store as it is: the certificates that name our organization, as DER.

    `stored` are those in the store, `anchors` those in each file of the administrator's folder. `hashed` are the files
    that OpenSSL finds by their links. `refresher` says that the program that makes the store is there.
    """

    paths: Mapping[str, Observed | None]
    stored: frozenset[bytes] = frozenset()
    anchors: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    hashed: frozenset[str] = frozenset()
    refresher: bool = True


def family_of(words: str) -> Family:
    """Return the family that os-release's words (ID, then ID_LIKE) name; `Conflict` if it is not known."""
    for word in words.split():
        if word in FAMILIES:
            return FAMILIES[word]
    name = (words.split() or ["this system"])[0]
    raise Conflict(
        f"registry_system_trust: the trust store of {name} is not known",
        "set it to False for this host, and put the CA into its store by hand",
    )


def paths(family: Family) -> list[str]:
    """Return the paths to look at."""
    return [family.store, *files.observed_paths(_written(family))]


def emit(family: Family) -> str:
    """Return the shell lines that print `stored`, `anchor`, `hashed` and `refresher`.

    Of the store's hundreds of certificates they print those with our organization's name.
    """
    written = " ".join(map(shlex.quote, _written(family)))
    hashed = (
        f"for file in {written}; do\n"
        f'    openssl verify -no_check_time -no-CAfile -CApath {family.hashes} "$file" >/dev/null 2>&1 '
        "&& printf 'hashed|%s\\n' \"$file\"\ndone"
    )
    return f"""
emit_ours() {{
    awk -v what="$1" '/BEGIN CERTIFICATE/ {{ text = ""; inside = 1; next }}
        /END CERTIFICATE/ {{ if (inside && text ~ /{"|".join(_forms())}/) print what "|" text; inside = 0 }}
        inside {{ sub(/\\r$/, ""); text = text $0 }}' "$2" || exit 1
}}
if [ -f {family.store} ]; then emit_ours stored {family.store}; fi
if [ -d {family.folder} ]; then
    anchors=$(find -L {family.folder} {family.anchors}) || exit 1
    printf '%s\\n' "$anchors" | while IFS= read -r file; do
        if [ -f "$file" ]; then emit_ours "anchor|$file" "$file"; fi
    done || exit 1
fi
{hashed if family.hashes else ""}
if command -v {family.program} >/dev/null; then echo 'refresher|yes'; fi
"""


def steps(family: Family, ca_pem: str, found: TrustStore) -> list[Step]:
    """Return the steps that make the system trust the certificates in `ca_pem`, and no other of ours.

    One certificate per file, as update-ca-certificates(8) requires. `Conflict` if the store cannot be refreshed.
    """
    written = _written(family)
    certificates = x509.load_pem_x509_certificates(ca_pem.encode())[:MOST]
    wanted = {
        path: certificate.public_bytes(Encoding.PEM).decode()
        for path, certificate in zip(written, certificates, strict=False)
    }
    placed = files.leftovers({path: found.paths[path] for path in paths(family)})
    placed += files.place((File(path, "0644", content=pem) for path, pem in wanted.items()), found.paths)
    unwanted = [path for path in written if path not in wanted]
    placed += files.remove(unwanted, found.paths, "its certificate is no longer wanted")
    changed = any(step.path for step in placed)
    reason = _stale(family, {c.public_bytes(Encoding.DER) for c in certificates}, wanted, found, changed)
    if reason or any(step.writes for step in placed):
        if not found.refresher:
            raise Conflict(
                f"registry_system_trust: {family.program}, which makes the system's trust store, is missing",
                f"install {family.package} there and run again",
            )
        why = reason or "a certificate in it changes"
        placed.append(Step(f"refresh {family.store}: {why}", f"{{ {family.refresh}; }} >/dev/null"))
    return placed


def _stale(
    family: Family, ours: set[bytes], wanted: Mapping[str, str], found: TrustStore, changed: bool
) -> str | None:
    if not ours <= found.stored:
        return "our certificate is not in it"
    # A refresh does not remove a certificate that comes from another file. Not all such files are known here, so a
    # store that is newer than the last change of the folder is left alone.
    others = {path: held for path, held in found.anchors.items() if path not in _written(family)}
    unwanted = found.stored - ours - frozenset().union(*others.values())
    if unwanted and (changed or _newer(found.paths[family.folder], found.paths[family.store])):
        return "it holds a certificate that is no longer wanted"
    if family.hashes and not set(wanted) <= found.hashed:
        return "OpenSSL does not find our certificate by its hash"
    return None


def _newer(one: Observed | None, other: Observed | None) -> bool:
    return bool(one and other and one.modified > other.modified)


def _written(family: Family) -> list[str]:
    return [
        f"{family.folder}/homelab-registry{'' if number == 1 else f'-{number}'}.crt"
        for number in range(1, MOST + 1)
    ]


def _forms() -> list[str]:
    """Return how base64 can encode our organization's name, by its offset in a group of three octets."""
    name = ORGANIZATION.encode()
    spelled = []
    for before in range(3):
        text = b64encode(bytes(before) + name).decode()
        spelled.append(text[-(-before * 8 // 6) : (before + len(name)) * 8 // 6])
    return spelled
