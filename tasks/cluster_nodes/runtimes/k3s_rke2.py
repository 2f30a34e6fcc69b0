"""K3s and RKE2: the CA, our entries in `registries.yaml`, and a restart until what they generate from it is ours.

Both bring a containerd of their own and write its configuration at their start, from `registries.yaml`
(k3s: `pkg/agent/containerd/config.go`). So what was generated shows whether a restart is still due.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.accounts.logins import Login
from tasks.clients import certs_d
from tasks.cluster_nodes.runtimes import registries_yaml
from tasks.remote import files, toml_edit
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict, Step, restart

FOLDER = "/etc/rancher"
TEMPLATES = ("config-v3.toml.tmpl", "config.toml.tmpl")

DROP_INS = ("config-v3.toml.d", "config.toml.d")
"""The folders beside the templates whose `*.toml` the generated configuration imports."""


@dataclass(frozen=True)
class Distribution:
    """K3s or RKE2: its `name` on disk, its name for people, and the units it runs as, of which a host has one."""

    name: str
    title: str
    units: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The folder of its configuration."""
        return f"{FOLDER}/{self.name}"

    @property
    def registries(self) -> str:
        """The file in which its registries are configured."""
        return f"{self.folder}/registries.yaml"

    @property
    def ca_file(self) -> str:
        """Where our CA is kept for it."""
        return f"{self.folder}/homelab-registry-ca.crt"


K3S = Distribution("k3s", "K3s", ("k3s.service", "k3s-agent.service"))
RKE2 = Distribution("rke2", "RKE2", ("rke2-server.service", "rke2-agent.service"))


@dataclass(frozen=True)
class K3sNode:
    """One of them as it is on a host.

    `data` is its data folder, `unit` the unit that runs and `started` when it was (seconds since 1970), both None
    where none runs. `texts` has `registries.yaml`, and below `generated(data)` what was made from it.
    """

    data: str
    unit: str | None
    started: float | None
    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(repr=False)


def generated(data: str) -> str:
    """Return the folder of the containerd configuration that it makes at its start."""
    return f"{data}/agent/etc/containerd"


def relative(endpoints: Iterable[str]) -> list[str]:
    """Return the files whose texts are to be told, below the folder of what is generated."""
    return [*TEMPLATES, "config.toml", *(path for name in endpoints for path in _hosts_tomls(name))]


def paths(kind: Distribution) -> list[str]:
    """Return all paths to be told of."""
    written = [kind.ca_file, kind.registries]
    return [kind.folder, *written, *map(files.temporary, written)]


def steps(
    kind: Distribution,
    endpoints: Iterable[str],
    ca_pem: str,
    login: Login | None,
    accounts: Collection[str],
    found: K3sNode,
) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise.

    `login` is the account that nodes pull with, None where they do not; `accounts` are all of the registry's.
    """
    endpoints = list(endpoints)
    certs_d.check([kind.ca_file], found.texts)
    _check_templates(found)
    text = found.texts.get(kind.registries, "")
    wanted = registries_yaml.merge(text, endpoints, kind.ca_file, login, kind.registries)
    folders = [] if found.paths[kind.folder] else [Folder(kind.folder)]
    placed = files.place([*folders, File(kind.ca_file, "0644", content=ca_pem)], found.paths)
    written = _write(kind, wanted, login, found)
    lacking = next(_lacking(kind, endpoints, wanted, login, accounts, found), None)
    if found.unit is None or found.started is None or lacking is None:
        return placed + written
    there = found.paths[kind.registries]
    if wanted != text or there is None or there.modified >= found.started:
        why = f"{lacking} (running pods stay up)"
        return [*placed, *written, Step(f"restart {found.unit}: {why}", restart(found.unit, minutes=10))]
    raise Conflict(
        f"{found.unit} was started after {kind.registries} was written, and still {lacking}",
        f"update {kind.title} if it is older than 1.29.4, which takes tls for mirrors only (k3s#9839); else see "
        f"journalctl -u {found.unit} and {found.data}/agent/containerd/containerd.log",
    )


def _write(kind: Distribution, wanted: str, login: Login | None, found: K3sNode) -> list[Step]:
    there, path = found.paths[kind.registries], kind.registries
    secret = None if login is None else "0600"
    if wanted != found.texts.get(path, ""):
        reason = "it is missing" if there is None else "our entries are not as they should be"
        return [files.rewrite(path, wanted, reason, mode=secret or ("0600" if there is None else None))]
    if there and secret and int(there.mode, 8) & 0o077:
        text = f"set the mode of {path}: it is {there.mode.zfill(4)}, and holds a password"
        return [Step(text, f"chmod {secret} {path}", path=path)]
    return []


def _lacking(
    kind: Distribution,
    endpoints: Iterable[str],
    wanted: str,
    login: Login | None,
    accounts: Collection[str],
    found: K3sNode,
) -> Iterator[str]:
    """Yield what the generated configuration lacks of what `registries.yaml` asks for on our behalf."""
    folder = generated(found.data)
    config = found.texts.get(f"{folder}/config.toml", "")
    for endpoint in endpoints:
        told = [
            found.texts[f"{folder}/{path}"]
            for path in _hosts_tomls(endpoint)
            if f"{folder}/{path}" in found.texts
        ]
        if not any(_names_ca(text, kind.ca_file) for text in told):
            yield f"what it generated from {kind.registries} does not name our CA for {endpoint}"
        asked = registries_yaml.auth_of(wanted, endpoint, kind.registries)
        present = _generated_auth(config, endpoint)
        # A login that the user wrote, or took out, is none of ours to restart for.
        if asked != present and (login or (asked is None and present and present[0] in accounts)):
            yield f"what it generated from {kind.registries} has another login for {endpoint}"


def _names_ca(text: str, ca_file: str) -> bool:
    says = _parsed(text)
    hosts = toml_edit.value_at(says, "host")
    tables = [says, *(hosts.values() if isinstance(hosts, dict) else [])]
    if any(toml_edit.value_at(table, "skip_verify") for table in tables):
        return False
    named = [toml_edit.value_at(table, "ca") for table in tables]
    return any(ca_file in (each if isinstance(each, list) else [each]) for each in named)


def _generated_auth(config: str, endpoint: str) -> tuple[str, str] | None:
    plugins = toml_edit.value_at(_parsed(config), "plugins")
    for plugin in plugins.values() if isinstance(plugins, dict) else []:
        auth = toml_edit.value_at(plugin, "registry", "configs", endpoint, "auth")
        if isinstance(auth, dict):
            return str(auth.get("username", "")), str(auth.get("password", ""))
    return None


def _parsed(text: str) -> dict[str, Any]:
    """Return what a generated file says; one that is broken says nothing, and is made anew at the next start."""
    try:
        return tomllib.loads(text)
    except toml_edit.UNREADABLE:
        return {}


def _hosts_tomls(endpoint: str) -> list[str]:
    """Return where the generated `hosts.toml` may stand: with the port as it is, or as `_port_` (since K3s 1.32)."""
    other = certs_d.stronger_folder(endpoint)
    # Go's net.SplitHostPort drops the brackets.
    names = [endpoint, other, other.replace("[", "").replace("]", "")] if other else [endpoint]
    return [f"certs.d/{name}/hosts.toml" for name in dict.fromkeys(names)]


def _check_templates(found: K3sNode) -> None:
    """Raise `Conflict` where a template of the user's leaves out where containerd is to look for `hosts.toml`, or a
    file that is imported names another place."""
    folder = generated(found.data)
    templates = [f"{folder}/{name}" for name in TEMPLATES]
    added = [path for path in found.texts if path.startswith(tuple(f"{folder}/{name}/" for name in DROP_INS))]
    for path in [*templates, *added]:
        text = found.texts.get(path)
        if text is None or (path in templates and re.search(r"\{\{-?\s*template\s+\"base\"", text)):
            continue
        given = re.search(r"^[^#\n]*\bconfig_path[\"']?\s*=\s*(.*)$", text, re.MULTILINE)
        if given is None and path in added:
            continue
        if given and re.search(
            r"NodeConfig\.Containerd\.Registry\b|agent/etc/containerd/certs\.d/?[\"']", given[1]
        ):
            continue
        if given and path in added:
            line = text.count("\n", 0, given.start(1)) + 1
            raise Conflict(
                f"{path} line {line} sets config_path to {given[1].strip()}, so containerd would not see our CA",
                "take that line out and run again",
            )
        line = text.count("\n", 0, given.start(1)) + 1 if given else 1
        what = f"sets config_path to {given[1].strip()}" if given else "sets no config_path"
        raise Conflict(
            f"{path} line {line} {what}, so containerd would not see our CA",
            'begin it with {{ template "base" . }}, or set config_path = "{{ .NodeConfig.Containerd.Registry }}", '
            "and run again",
        )
