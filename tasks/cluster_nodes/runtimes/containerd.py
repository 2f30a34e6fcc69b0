"""containerd with its CRI: the CA and a `hosts.toml` for each name, one `config_path`, and a restart when that is new.

`hosts.toml` needs no restart; `config_path` does (containerd's docs/hosts.md). Whether one is due is read off a
marker in /run, which is made just before the new configuration is in place, and is gone after a reboot.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tasks.clients import certs_d
from tasks.cluster_nodes.runtimes import containerd_config
from tasks.cluster_nodes.runtimes.containerd_config import CERTS, InForce, Loaded
from tasks.remote import files, toml_edit
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict, Step, restart

CONFIG = "/etc/containerd/config.toml"
HOME = "/etc/containerd"
UNIT = "containerd.service"
RESTART_DUE = "/run/homelab-registry-restart-containerd"
MARK = "# Written by homelab-registry; a change here is undone by its next run."


@dataclass(frozen=True)
class Containerd:
    """containerd as it is on a host.

    `config` is the main file that it reads, `started` when its service was started (seconds since 1970), None
    where no service runs. `texts` has the configuration's files and those that `relative` names in each folder
    that is a `config_path`. `shared` tells that Docker Engine runs on it too, `stops_docker` that systemd would
    restart that one as well. `imports` are all imports that the host's shell found and followed.
    """

    version: str
    config: str
    started: float | None
    shared: bool
    stops_docker: bool
    paths: Mapping[str, Observed | None]
    texts: Mapping[str, str] = field(repr=False)
    imports: Collection[str] = frozenset()


def relative(endpoints: Iterable[str]) -> list[str]:
    """Return all paths to be told of below a folder that `config_path` may name."""
    found = []
    for endpoint in endpoints:
        found += [endpoint, f"{endpoint}/ca.crt", f"{endpoint}/hosts.toml"]
        found += [files.temporary(path) for path in found[-2:]]
        if stronger := certs_d.stronger_folder(endpoint):
            found.append(stronger)
    return found


def switched_off(found: Containerd) -> str | None:
    """Return where the CRI is switched off, as in the configuration that comes with Docker; None where it is on."""
    return containerd_config.disabled(_load(found))


def steps(endpoints: Iterable[str], ca_pem: str, found: Containerd) -> list[Step]:
    """Return the steps, in their order; `Conflict` where something of the user's says otherwise."""
    configured, current = _in_force(found)
    root = configured.folder
    if root not in found.paths:
        raise Conflict(
            f"{configured.place} sets config_path in a way that could not be read from the host",
            f'write it in one line, config_path = "{root}", and run again',
        )
    # Not ours, but a folder on the way that is made with ours is for root alone.
    wanted = [] if found.paths[HOME] else [Folder(HOME)]
    if root == CERTS or found.paths[root] is None:
        wanted.append(Folder(root))
    for endpoint in endpoints:
        folder = f"{root}/{endpoint}"
        _check(folder, endpoint, found)
        wanted += [
            Folder(folder),
            File(f"{folder}/ca.crt", "0644", content=ca_pem),
            File(f"{folder}/hosts.toml", "0644", content=hosts_toml(folder, endpoint)),
        ]
    return files.place(wanted, found.paths) + _configure(configured, current, found)


def hosts_toml(folder: str, endpoint: str) -> str:
    """Return the file that tells containerd how to reach a registry.

    The CA is named twice. Outside of a table alone it does not do (containerd#13212). But what stands there is asked
    once more where the host answers 404: without the CA a missing tag reads as a certificate of unknown authority.
    """
    url, ca = f"https://{endpoint}", f"{folder}/ca.crt"
    return (
        f'{MARK}\nserver = "{url}"\nca = "{ca}"\n\n'
        f'[host."{url}"]\n  capabilities = ["pull", "resolve", "push"]\n  ca = "{ca}"\n'
    )


def _load(found: Containerd) -> list[Loaded]:
    """Return the files of its configuration, of which the host has told all that they import."""
    version = containerd_config.version_of(found.version)
    containerd_config.check_told(found.config, found.texts, found.imports)
    return containerd_config.load(found.config, found.texts, version)


def _in_force(found: Containerd) -> tuple[InForce, str]:
    """Return the `config_path` in force, and the text of the file to write it to, "" where there is none yet."""
    version, loaded = containerd_config.version_of(found.version), _load(found)
    if where := containerd_config.disabled(loaded):
        raise Conflict(
            f"containerd's CRI is switched off ({where}), so no node pulls with it",
            "take that out, or take this host out of cluster_nodes, and run again",
        )
    containerd_config.check_inline(loaded)
    if loaded:
        configured = containerd_config.in_force(loaded, version)
        return configured, configured.file.text
    new = {found.config: containerd_config.fresh(version)}
    return containerd_config.in_force(containerd_config.load(found.config, new, version), version), ""


def _configure(configured: InForce, current: str, found: Containerd) -> list[Step]:
    written: list[Step] = []
    if configured.value != configured.folder and configured.ours_to_set:
        text = toml_edit.put(configured.file.text, configured.keys, configured.folder, configured.file.path)
        reason = (
            "config_path is not set" if configured.value == "" else "config_path is the default of two paths"
        )
        if not current:
            reason = "it is missing, and config_path with it"
        first = f"touch {RESTART_DUE}" if found.started is not None else "true"
        written = [files.rewrite(configured.file.path, text, reason, first=first)]
    marker = found.paths[RESTART_DUE]
    if written:
        due = found.started is not None
    else:
        # A service that is not running did not come up with the new configuration, or was stopped before it.
        due = marker is not None and (found.started is None or marker.modified >= found.started)
    if due and found.stops_docker:
        raise _not_now(configured, current, written)
    if due:
        also = "; Docker Engine here uses it too" if found.shared else ""
        text = f"restart containerd: its config_path is newer than it is (pods and containers stay up{also})"
        return [*written, Step(text, f"{restart(UNIT, minutes=2)}\nrm -f {RESTART_DUE}")]
    if marker and not written:
        return [Step(f"remove {RESTART_DUE}: containerd was restarted since", f"rm -f {RESTART_DUE}")]
    return written


def _not_now(configured: InForce, current: str, written: list[Step]) -> Conflict:
    """Return why there is no restart that would take Docker Engine along, and what to do instead."""
    by_hand = f"run systemctl restart {UNIT} yourself at a good moment"
    if written:
        header = ".".join(f'"{key}"' if "." in key else key for key in configured.keys[:-1])
        version = "" if current else f" and {configured.file.text.strip()} on top"
        place = f"below [{header}] in {configured.file.path}{version}"
        by_hand = f'set config_path = "{configured.folder}" {place}, and {by_hand}'
    return Conflict(
        f"docker.service requires {UNIT}, so the restart that config_path needs would stop Docker's containers",
        f"{by_hand}; or write Wants= for Requires={UNIT} (systemctl edit --full docker.service); and run again",
    )


def _check(folder: str, endpoint: str, found: Containerd) -> None:
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
    if not text.strip() or text.startswith(MARK):
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
