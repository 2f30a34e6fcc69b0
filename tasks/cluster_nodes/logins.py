"""The login that a node pulls with by itself, in the kubelet's or Podman's file. K3s and RKE2 have files of their own.

An entry stays if `registry_node_login` is switched off again, as the logins of users do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tasks.accounts import logins
from tasks.accounts.logins import Login
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step

KUBELET = "/var/lib/kubelet/config.json"
"""What the kubelet gives the runtime with each pull (kubernetes.io, "Pull an Image from a Private Registry")."""

PODMAN = "/root/.config/containers/auth.json"
"""What root's Podman reads after the file in XDG_RUNTIME_DIR, which is lost at a reboot (containers-auth.json(5))."""


def steps(
    paths: Iterable[str],
    names: Sequence[str],
    login: Login,
    observed: Mapping[str, Observed | None],
    texts: Mapping[str, str],
) -> list[Step]:
    """Return the steps that put the login for `names` into files; `Conflict` if the user's own are in the way."""
    return [
        step
        for path in dict.fromkeys(paths)
        for step in _steps(path, names, login, observed, texts.get(path, ""))
    ]


def _steps(
    path: str, names: Sequence[str], login: Login, observed: Mapping[str, Observed | None], text: str
) -> list[Step]:
    found, folder = observed[path], files.parent(path)
    if found and "regular" not in found.kind:
        raise Conflict(
            f"{path} is a {found.kind}, where a file is needed",
            "replace it by one, or set registry_node_login to False for this host, and run again",
        )
    for name in names:
        if helper := logins.helper_for(text, name, path):
            raise Conflict(
                f"{helper.where} has {helper.program} keep the logins, which wins over an entry there",
                "take that out, or set registry_node_login to False for this host, and run again",
            )
    wanted = logins.merge(text, names, login, path)
    if wanted != text:
        reason = "it is missing" if found is None else "the node's login is not as it should be"
        made = []
        if observed[folder] is None:
            made = [Step(f"make {folder}: it is missing", f"umask 077; mkdir -p {folder}", path=folder)]
        return [*made, files.write_private(path, wanted, reason)]
    if found and int(found.mode, 8) != 0o600:
        text = f"set mode of {path}: it is {found.mode.zfill(4)}, and holds a password"
        return [Step(text, f"chmod 0600 {path}", path=path)]
    return []
