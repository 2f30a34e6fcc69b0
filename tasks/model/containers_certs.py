"""CRI-O and Podman (Buildah and Skopeo too): the CA for each name, which they read at every pull.

The folder is the one of containers/image (containers-certs.d(5)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tasks.model import ca_files, files, toml_text
from tasks.model.files import File, Folder, Observed
from tasks.model.steps import Conflict, Step

CERTS = "/etc/containers/certs.d"
CONFIG = "/etc/containers/registries.conf"
DROP_INS = "/etc/containers/registries.conf.d/*.conf"


def certificates(authorities: Iterable[str]) -> list[str]:
    """Return where the CA is looked for, a file for each name."""
    return [f"{CERTS}/{authority}/ca.crt" for authority in authorities]


def paths(authorities: Iterable[str]) -> list[str]:
    """Return all paths to be told of."""
    written = certificates(authorities)
    return [CERTS, *(files.parent(path) for path in written), *written, *map(files.temporary, written)]


def steps(
    authorities: Iterable[str], ca_pem: str, observed: Mapping[str, Observed | None], texts: Mapping[str, str]
) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise.

    `texts` has those of the certificates and of `registries.conf` and its drop-ins that are there.
    """
    authorities = list(authorities)
    ca_files.check(certificates(authorities), texts)
    for path, text in texts.items():
        if path.startswith(CONFIG):
            _check_secure(path, text, authorities)
    wanted: list[Folder] = [Folder(CERTS)]
    for path in certificates(authorities):
        wanted += [Folder(files.parent(path)), File(path, "0644", content=ca_pem)]
    return files.place(wanted, observed)


def _check_secure(path: str, text: str, authorities: Iterable[str]) -> None:
    for name, line in _insecure(path, text):
        if ours := next((each for each in authorities if _covers(name, each)), None):
            raise Conflict(
                f"{path} line {line} switches the check of certificates off for {ours} (insecure)",
                "take that out and run again",
            )


def _insecure(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Yield each name for which no certificate is checked, and the line (containers-registries.conf(5))."""
    says = toml_text.read(text, path)
    entries = toml_text.listed(says, "registry")
    mirrors = [mirror for entry in entries for mirror in toml_text.listed(entry, "mirror")]
    for entry in [*entries, *mirrors]:
        if toml_text.at(entry, "insecure") is True:
            for key in ("prefix", "location"):
                if name := str(toml_text.at(entry, key) or ""):
                    yield name, _line(text, f'"{name}"')
    # The first version of the format.
    for name in toml_text.listed(says, "registries", "insecure", "registries"):
        yield str(name), _line(text, f'"{name}"')


def _line(text: str, word: str) -> int:
    at = max(text.find(word), text.find(word.replace('"', "'")), 0)
    return text.count("\n", 0, at) + 1


def _covers(name: str, authority: str) -> bool:
    """Tell whether a prefix or location is about a registry: it, a part of it, or a pattern for its domain."""
    host = name.partition("/")[0]
    if host.startswith("*."):
        return authority.rpartition(":")[0].endswith(host[1:]) or authority.endswith(host[1:])
    return host == authority
