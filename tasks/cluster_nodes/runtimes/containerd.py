"""containerd with its CRI: the CA and a `hosts.toml` for each name, one `config_path`, and a restart if that is new.

A new `hosts.toml` needs no restart, a new `config_path` does (containerd's docs/hosts.md).
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Sequence

from tasks.clients import certs_d, mirrors
from tasks.cluster_nodes import logins
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import containerd_config, containerd_conflicts, restarts
from tasks.cluster_nodes.runtimes.containerd_config import CERTS, InForce, Loaded
from tasks.cluster_nodes.runtimes.restarts import Restarts
from tasks.cluster_nodes.runtimes.runtime import Runtime
from tasks.remote import files, toml_edit
from tasks.remote.files import File, Folder
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings

CONFIG = "/etc/containerd/config.toml"
HOME = "/etc/containerd"
UNIT = "containerd.service"
DOCKER_UNIT = "docker.service"
MARK = "# Written by homelab-registry; a change here is undone by its next run."


# A link to K3s, or the containerd of RKE2, may be on the search path: that is no containerd of its own.
SCRIPT = r"""
program=$(readlink -f "$(command -v containerd || echo /nowhere)")
case $program in
    (/nowhere|*/rancher/*|*/k3s|*/rke2) ;;
    (*) if [ -x "$program" ]; then
        version=$("$program" --version) || exit 1
        printf 'runtime|containerd\ncontainerd|%s\n' "$(echo "$version" | cut -d ' ' -f 3)"
    fi ;;
esac
argument() { tr '\0' '\n' < "/proc/$pid/cmdline" | sed -n "/^--\{0,1\}$1\$/{n;p;};s/^--\{0,1\}$1=//p"; }
if [ -n "$pid" ] && [ "$pid" != 0 ]; then
    given=$(argument 'c\(onfig\)\{0,1\}')
    [ -z "$given" ] || config=$(realpath -ms -- "$given") || exit 1
    given=$(argument 'a\(ddress\)\{0,1\}')
    [ -z "$given" ] || ! reject_pipe "$given" || echo "socket|$given"
fi
echo "config|$config"
emit_file "$config"
if [ -x "$program" ] && [ ! -e "$config" ]; then
    default=$("$program" config default) || exit 1
    echo "default|$(printf '%s\n' "$default" | sed -n 's/^version *= *//p')"
fi
"""


class Containerd(Runtime):
    """containerd with its CRI, as a service of its own."""

    name = "containerd"
    title = "containerd"
    other_units = (UNIT, DOCKER_UNIT)
    login_file = logins.KUBELET

    def paths(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files and folders to look at."""
        return [HOME, *restarts.paths(self.name), *paths_in(CERTS, endpoints)]

    def texts(self, endpoints: Sequence[str]) -> list[str]:
        """Return the paths of files to read; `script` adds the main configuration file."""
        return texts_in(CERTS, endpoints)

    def script(self, endpoints: Sequence[str]) -> str:
        """Return the shell lines that find it and its configuration."""
        return f"config={shlex.quote(CONFIG)}{SCRIPT}"

    def more(self, endpoints: Sequence[str], found: Node) -> tuple[list[str], list[str]]:
        """Return what the configuration names: files that it imports, and folders that are a `config_path`."""
        imports, folders = containerd_config.named(found.containerd_config, found.texts)
        paths = [path for folder in folders for path in paths_in(folder, endpoints)]
        return paths, imports + [path for folder in folders for path in texts_in(folder, endpoints)]

    def switched_off(self, found: Node) -> str | None:
        """Return where the CRI is switched off, as in the configuration of Docker's package; None if it is on."""
        return containerd_conflicts.disabled(_load(found))

    def steps(self, settings: Settings, target: NodeTarget, found: Node) -> list[Step]:
        """Return the steps, in their order; `Conflict` if something of the user's contradicts them."""
        configured, loaded = _in_force(found)
        root = configured.folder
        # Not ours. But if it were made on the way to ours, root alone could read it.
        wanted = [] if found.paths[HOME] else [Folder(HOME)]
        if root == CERTS or found.paths[root] is None:
            wanted.append(Folder(root))
        for endpoint in settings.endpoints:
            folder = f"{root}/{endpoint}"
            _check(folder, endpoint, found)
            wanted += [
                Folder(folder),
                File(f"{folder}/ca.crt", "0644", content=target.ca_pem),
                File(f"{folder}/hosts.toml", "0644", content=hosts_toml(folder, endpoint)),
            ]
        if target.mirror:
            mirrors.check(root, target.mirror, found.texts)
            _check(f"{root}/{target.mirror.endpoint}", target.mirror.endpoint, found)
            wanted += mirrors.wanted(root, target.mirror, target.ca_pem)
        gone = [
            step
            for folder in dict.fromkeys((root, CERTS))
            for step in mirrors.take_back(folder, target.mirror if folder == root else None, found.texts)
        ]
        return [*files.place(wanted, found.paths), *gone, *_configure(configured, loaded, found)]


def ca_file(endpoint: str, found: Node) -> str:
    """Return the file with the CA of an endpoint, in the folder that `config_path` names."""
    return f"{_in_force(found)[0].folder}/{endpoint}/ca.crt"


def texts_in(folder: str, names: Iterable[str]) -> list[str]:
    """Return the files to read in a folder that `config_path` names, about some registries and left by earlier runs."""
    return mirrors.texts(folder, names)


def paths_in(folder: str, endpoints: Sequence[str]) -> list[str]:
    """Return all that is to be looked at there."""
    ours = [f"{folder}/{endpoint}/{name}" for endpoint in endpoints for name in ("ca.crt", "hosts.toml")]
    stronger = [certs_d.stronger_folder(endpoint) for endpoint in endpoints]
    return [
        folder,
        *files.observed_paths(ours),
        *(f"{folder}/{each}" for each in stronger if each),
    ]


def hosts_toml(folder: str, endpoint: str) -> str:
    """Return the file that tells containerd how to reach a registry.

    The CA is named twice. Outside the table alone it is not enough (containerd#13212). But containerd asks `server`
    once more if the host answers 404: without the CA there, a missing tag is reported as an unknown authority.
    """
    url, ca = f"https://{endpoint}", f"{folder}/ca.crt"
    return (
        f'{MARK}\nserver = "{url}"\nca = "{ca}"\n\n'
        f'[host."{url}"]\n  capabilities = ["pull", "resolve", "push"]\n  ca = "{ca}"\n'
    )


def _load(found: Node) -> list[Loaded]:
    """Return the files of its configuration."""
    version = containerd_config.version_of(found.containerd_version)
    return containerd_config.load(found.containerd_config, found.texts, version)


def _in_force(found: Node) -> tuple[InForce, list[Loaded]]:
    """Return the `config_path` in force, and the files of the configuration; none if there are none yet."""
    version, loaded = containerd_config.version_of(found.containerd_version), _load(found)
    if where := containerd_conflicts.disabled(loaded):
        raise Conflict(
            f"containerd's CRI is switched off ({where}), so no node pulls with it",
            "take that out, or take this host out of cluster_nodes, and run again",
        )
    if loaded:
        configured = containerd_config.in_force(loaded, version)
        containerd_conflicts.check_inline(loaded, version, configured)
        return configured, loaded
    new = {found.containerd_config: containerd_config.fresh(found.containerd_default)}
    return containerd_config.in_force(
        containerd_config.load(found.containerd_config, new, version), version
    ), []


def _configure(configured: InForce, loaded: list[Loaded], found: Node) -> list[Step]:
    restarts_it = _restarts(loaded, found)
    written: list[Step] = []
    started = found.started.get(UNIT)
    if configured.value != configured.folder and configured.ours_to_set:
        reason = (
            "config_path is not set" if configured.value == "" else "config_path is the default of two paths"
        )
        if not loaded:
            reason = "it is missing, and config_path with it"
        first = restarts_it.keep_first() if started is not None else "true"
        written = [_set_path(configured, reason, first)]
        restarts_it.check(configured.file.path, written[0].stdin or "", found)
    kept = found.paths[restarts_it.kept]
    overdue = kept is not None and started is not None and kept.modified >= started
    due = started is not None if written else overdue
    if due and DOCKER_UNIT in found.started and DOCKER_UNIT in found.requiring_containerd:
        raise _not_now(configured, loaded, written)
    lasting = _lasting(configured, loaded, found)
    if not due:
        return [*restarts_it.resume(found), *written, *lasting]
    also = "; Docker Engine here uses it too" if DOCKER_UNIT in found.started else ""
    text = f"containerd: its config_path is newer than it is (pods and containers stay up{also})"
    before = restarts_it.resume(found) if written else []
    return [*before, *written, *lasting, restarts_it.restart(text)]


def _set_path(configured: InForce, reason: str, first: str) -> Step:
    path = configured.file.path
    text = toml_edit.put(configured.file.text, configured.keys, configured.folder, path)
    return files.rewrite(path, text, reason, first=first)


def _lasting(configured: InForce, loaded: list[Loaded], found: Node) -> list[Step]:
    """Return the step that sets our `config_path` in the main file too, if a file that it imports has it.

    That one may belong to another program, such as NVIDIA's toolkit, which recreates it from the main file. For now
    the main file's value is not in force, so nothing is restarted for it.
    """
    if not loaded or configured.file is loaded[0] or configured.folder != CERTS:
        return []
    main = containerd_config.in_force(loaded[:1], containerd_config.version_of(found.containerd_version))
    if not main.ours_to_set:
        return []
    reason = f"config_path is set only in {configured.file.path}, which may be another program's"
    return [_set_path(main, reason, "true")]


def _restarts(loaded: list[Loaded], found: Node) -> Restarts:
    socket = found.containerd_socket or containerd_config.socket(loaded)
    return Restarts("containerd", "containerd", UNIT, restarts.ctr("ctr", socket), minutes=2)


def _not_now(configured: InForce, loaded: list[Loaded], written: list[Step]) -> Conflict:
    """Return why there is no restart, which would stop Docker's containers, and what to do instead."""
    by_hand = f"run systemctl restart {UNIT} yourself at a good moment"
    if written:
        header = ".".join(f'"{key}"' if "." in key else key for key in configured.keys[:-1])
        version = "" if loaded else f" and {configured.file.text.strip()} on top"
        place = f"below [{header}] in {configured.file.path}{version}"
        by_hand = f'set config_path = "{configured.folder}" {place}, and {by_hand}'
    return Conflict(
        f"docker.service requires {UNIT}, so the restart that config_path needs would stop Docker's containers",
        f"{by_hand}; or write Wants= for Requires={UNIT} (systemctl edit --full docker.service); and run again",
    )


def _check(folder: str, endpoint: str, found: Node) -> None:
    other = certs_d.stronger_folder(endpoint)
    stronger = posixpath.join(posixpath.dirname(folder), other or "")
    if other and found.paths[stronger]:
        raise Conflict(
            f"{stronger} is looked up before {folder}, and is not ours",
            f"move it away (mv {shlex.quote(stronger)} {shlex.quote(stronger + '.old')}) and run again",
        )
    certs_d.check([f"{folder}/ca.crt"], found.texts)
    path = f"{folder}/hosts.toml"
    text = found.texts.get(path, "")
    if not text.strip() or text.startswith(MARK) or mirrors.is_ours(text):
        return
    remedy = f"move it away (mv {shlex.quote(path)} {shlex.quote(path + '.old')}) and run again"
    says = toml_edit.read(text, path)
    hosts = says.get("host")
    urls = [url for url, table in hosts.items() if isinstance(table, dict)] if isinstance(hosts, dict) else []
    for key in ("skip_verify", "ca", "server"):
        for keys in [(key,), *(("host", url, key) for url in urls)]:
            value = says.get(key) if len(keys) == 1 else says["host"][keys[1]].get(key)
            if value:
                place = f"{path} line {toml_edit.line_of(text, keys)}"
                raise Conflict(f"{place} has {key}, and is not ours", remedy)
    raise Conflict(f"{path} is not ours", remedy)
