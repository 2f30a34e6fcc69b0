"""K3s and RKE2: the CA, our entries in `registries.yaml`, and a restart if what they generated from it lacks them.

Both have a containerd of their own and generate its configuration from `registries.yaml` when they start
(k3s: `pkg/agent/containerd/config.go`). So the generated files show whether a restart is still due.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.accounts.logins import Login
from tasks.clients import certs_d
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import (
    k3s_generated,
    k3s_templates,
    rancher,
    registries_mirrors,
    registries_yaml,
    restarts,
)
from tasks.cluster_nodes.runtimes.restarts import Restarts
from tasks.cluster_nodes.runtimes.runtime import Runtime
from tasks.remote import files
from tasks.remote.files import File, Folder
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tasks.settings.types import RuntimeName

FOLDER = "/etc/rancher"
SERVERS = ("k3s.service", "rke2-server.service")
SOCKET = "/run/k3s/containerd/containerd.sock"
"""Where the containerd of both listens."""


# The data folder is set by the command line, or else the configuration, in which a later file wins
# (docs.k3s.io/installation/configuration), or else the environment. systemd prints a command line with spaces between
# its words, even if a word has spaces. The one in /proc has no words any more: K3s overwrites it.
SCRIPT = r"""
arguments() {
    sed -n 's/^ExecStart=.* argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tr ' ' '\n'
}
from_arguments() { arguments | sed -n "/^$1\$/{n;p;};s/^$1=//p" | tail -n 1; }
from_configuration() {
    cat "$rancher/$1/config.yaml" "$rancher/$1/config.yaml.d"/*.yaml 2>/dev/null |
        sed -n "s/^\([\"']\{0,1\}\)$2\1[[:space:]]*:[[:space:]]*[\"']\{0,1\}\([^\"'#]*[^\"'#[:space:]]\).*/\2/p" |
        tail -n 1
}
from_environment() {
    while read -r line; do
        case $line in
            (Environment=*) printf '%s\n' "${line#*=}" | tr ' ' '\n' ;;
            (EnvironmentFile*=*) line=${line#*=}; cat -- "${line% (ignore_errors=*}" 2>/dev/null ;;
        esac
    done | sed -n "s/^[\"']\{0,1\}$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" | tail -n 1
}
service=; data=; through=
case $loaded in (*" $name."*|*" $name-"*)
    service=$(printf '%s\n' "$services" |
        awk -v RS= -v id="\nId=$name(-[a-z]+)?[.]service\n" '("\n" $0 "\n") ~ id') || exit 1
    data=$(printf '%s\n' "$service" | from_arguments '\(-d\|--\{0,1\}data-dir\)')
    through=$(printf '%s\n' "$service" | from_arguments '--\{0,1\}container-runtime-endpoint')
    ! printf '%s\n' "$service" | arguments | grep -qx -e '--\{0,1\}docker\(=true\)\{0,1\}' || through=docker ;;
esac
if [ -d "$rancher/$name" ]; then
    [ -n "$through" ] || through=$(from_configuration "$name" container-runtime-endpoint)
    [ "$(from_configuration "$name" docker)" != true ] || through=docker
fi
[ -z "$through" ] || ! reject_pipe "$through" || echo "through|$name|$through"
[ -n "$data" ] || [ ! -d "$rancher/$name" ] || data=$(from_configuration "$name" data-dir)
[ -n "$data" ] || [ -z "$service" ] ||
    data=$(printf '%s\n' "$service" | from_environment "$(echo "${name}_DATA_DIR" | tr a-z A-Z)")
data=${data:-/var/lib/rancher/$name}
echo "data|$name|$data"
if reject_pipe "$data"; then
    IFS=$nl
    for each in $generated; do emit_text "$data/agent/etc/containerd/$each"; done
    unset IFS
    for each in "$data/agent/etc/containerd/certs.d"/*/hosts.toml; do ! reject_pipe "$each" || emit_text "$each"; done
    for file in $drop_ins; do
        for each in "$data/agent/etc/containerd/$file"/*.toml; do ! reject_pipe "$each" || emit_text "$each"; done
    done
fi
"""


@dataclass(frozen=True)
class Distribution(Runtime):
    """K3s or RKE2: its `name` on disk, its `title` for people, and its `units`, of which a host runs one."""

    name: RuntimeName
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
        """The path of our CA for it."""
        return f"{self.folder}/homelab-registry-ca.crt"

    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files and folders to look at."""
        ours = files.observed_paths([self.ca_file, self.registries])
        return [*rancher.paths(self.folder), *ours, *restarts.paths(self.name)]

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read; `script` adds those in its data folder."""
        return [self.ca_file, self.registries]

    def script(self, endpoints: Sequence[str]) -> str:
        """Return the shell lines that find it, its data folder, and the files that it generated there."""
        given = {
            "name": self.name,
            "rancher": FOLDER,
            "generated": "\n".join(GENERATED),
            "drop_ins": " ".join(k3s_templates.DROP_INS),
        }
        lines = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
        return "\n".join([super().script(endpoints), *lines, SCRIPT])

    def more(self, endpoints: Sequence[str], found: Node) -> tuple[list[str], list[str]]:
        """Return the files with a CA that a `registries.yaml` of Rancher's names for our registry."""
        if not rancher.owns(self.folder, found):
            return [], []
        named = rancher.ca_files(self.registries, endpoints, found)
        return [], sorted({path for path in named if path.startswith("/")})

    def ca_in_force(self, endpoint: str, found: Node) -> str:
        """Return the path of the CA that it verifies our registry with: ours, or the one that Rancher has written."""
        if not rancher.owns(self.folder, found):
            return self.ca_file
        return rancher.ca_files(self.registries, [endpoint], found)[0]

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
        if rancher.owns(self.folder, found):
            rancher.check(self.registries, settings.endpoints, target, found)
            return []
        certs_d.check([self.ca_file], found.texts)
        k3s_templates.check(generated(found.data[self.name]), found.texts)
        text, login = found.texts.get(self.registries, ""), target.login
        wanted = registries_yaml.merge(text, settings.endpoints, self.ca_file, login, self.registries)
        wanted = registries_mirrors.merge(wanted, target.mirror, self.ca_file, self.registries)
        folders = [] if found.paths[self.folder] else [Folder(self.folder)]
        placed = files.place([*folders, File(self.ca_file, "0644", content=target.ca_pem)], found.paths)
        unit = next((unit for unit in self.units if unit in found.started), None)
        restarts_it, there = self.restarts(unit, found), found.paths[self.registries]
        unread = wanted != text or there is None or (unit and there.modified >= found.started[unit])
        lacking = next(_lacking(self, settings, wanted, target, found), None)
        if lacking is None and unread:
            lacking = next(_left_over(self, settings, wanted, found), None)
        if unit is None or lacking is None:
            return [*placed, *restarts_it.resume(found), *_write(self, wanted, login, found)]
        kept = found.paths[restarts_it.kept]
        if unread:
            written = _write(self, wanted, login, found, first=restarts_it.keep_first())
            if wanted != text:
                restarts_it.check(self.registries, wanted, found)
                written = restarts_it.resume(found) + written
            return [*placed, *written, restarts_it.restart(f"{unit}: {lacking} (running pods stay up)")]
        if kept:
            return [*placed, *restarts_it.resume(found)]
        raise Conflict(
            f"{unit} was started after {self.registries} was written, and still {lacking}",
            f"update {self.title} if it is older than 1.29.4, which takes tls for mirrors only (k3s#9839); else see "
            f"journalctl -u {unit} and {found.data[self.name]}/agent/containerd/containerd.log",
        )

    def restarts(self, unit: str | None, found: Node) -> Restarts:
        """Return how it is restarted. `unit` is the running one; without one, it is one that cannot start."""
        unit = unit or next((each for each in self.units if each in found.failing), self.units[0])
        program = f"{found.data[self.name]}/bin/ctr" if self.name == "rke2" else "k3s ctr"
        kubectl = f"{found.data[self.name]}/bin/kubectl" if self.name == "rke2" else "k3s kubectl"
        return Restarts(
            self.name,
            self.title,
            unit,
            restarts.ctr(program, SOCKET),
            minutes=10,
            kubectl=kubectl if unit in SERVERS else "",
            kubeconfig=f"{self.folder}/{self.name}.yaml",
        )


K3S = Distribution("k3s", "K3s", ("k3s.service", "k3s-agent.service"))
RKE2 = Distribution("rke2", "RKE2", ("rke2-server.service", "rke2-agent.service"))


def generated(data: str) -> str:
    """Return the folder of the containerd configuration that it generates when it starts."""
    return f"{data}/agent/etc/containerd"


GENERATED = (*k3s_templates.TEMPLATES, "config.toml")
"""The files to read in that folder, besides every `hosts.toml` in its `certs.d`."""


def _write(
    kind: Distribution, wanted: str, login: Login | None, found: Node, first: str = "true"
) -> list[Step]:
    there, path = found.paths[kind.registries], kind.registries
    secret = None if login is None else "0600"
    if wanted != found.texts.get(path, ""):
        reason = "it is missing" if there is None else "our entries are not as they should be"
        mode = secret or ("0600" if there is None else None)
        return [files.rewrite(path, wanted, reason, mode=mode, first=first)]
    if there and secret and int(there.mode, 8) & 0o077:
        text = f"set the mode of {path}: it is {there.mode.zfill(4)}, and holds a password"
        return [Step(text, f"chmod {secret} {path}", path=path)]
    return []


def _lacking(
    kind: Distribution, settings: Settings, wanted: str, target: NodeTarget, found: Node
) -> Iterator[str]:
    """Yield what the generated configuration lacks of our entries in `registries.yaml`."""
    folder, accounts, login = generated(found.data[kind.name]), settings.registry_accounts, target.login
    config = found.texts.get(f"{folder}/config.toml", "")
    for endpoint in settings.endpoints:
        generated_tomls = [
            found.texts[f"{folder}/{path}"]
            for path in _hosts_tomls(endpoint)
            if f"{folder}/{path}" in found.texts
        ]
        if not any(k3s_generated.names_ca(text, kind.ca_file) for text in generated_tomls):
            yield f"what it generated from {kind.registries} does not name our CA for {endpoint}"
        expected = registries_yaml.auth_of(wanted, endpoint, kind.registries)
        present = k3s_generated.auth(config, endpoint)
        # A login that the user wrote or removed is no reason for a restart.
        if expected != present and (login or (expected is None and present and present[0] in accounts)):
            yield f"what it generated from {kind.registries} has another login for {endpoint}"
    for name in target.mirror.names if target.mirror else ():
        text = found.texts.get(f"{folder}/certs.d/{name}/hosts.toml", "")
        if target.mirror and target.mirror.url not in k3s_generated.mirrors(text, kind.ca_file):
            yield f"what it generated from {kind.registries} has no mirror for {name}"


def _left_over(kind: Distribution, settings: Settings, wanted: str, found: Node) -> Iterator[str]:
    """Yield what the generated configuration still has of caches that are not in `registries.yaml` any more.

    That is a mirror of a registry with our CA, and not our registry.
    """
    begin = f"{generated(found.data[kind.name])}/certs.d/"
    known = registries_mirrors.names(wanted, kind.registries)
    for path, text in found.texts.items():
        name = path.removeprefix(begin).partition("/")[0]
        if not path.startswith(begin) or name in known:
            continue
        own = [f"https://{each}" for each in (name, *settings.endpoints)]
        if set(k3s_generated.mirrors(text, kind.ca_file)) - set(own):
            yield f"what it generated from {kind.registries} still has a mirror for {name}"


def _hosts_tomls(endpoint: str) -> list[str]:
    """Return the possible paths of the generated `hosts.toml`: with `:port`, or with `_port_` (since K3s 1.32)."""
    other = certs_d.stronger_folder(endpoint)
    # Go's net.SplitHostPort drops the brackets.
    names = [endpoint, other, other.replace("[", "").replace("]", "")] if other else [endpoint]
    return [f"certs.d/{name}/hosts.toml" for name in dict.fromkeys(names)]
