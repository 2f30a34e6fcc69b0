"""The inventory's groups of hosts: those that a run serves, and hosts that are in none of them by mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from tasks.problem import some_of
from tasks.settings.redact import redacted, safe_name

PREFIX = "registry_"
GROUPS = ("registry", "docker_hosts", "cluster_nodes", "cluster_control", "backup_hosts")

WORDS = {
    "docker_hosts": "docker|moby|swarm|builder",
    "cluster_control": "control|master|server|kubectl|plane",
    "cluster_nodes": "node|worker|agent|cluster|k3s|k8s|kube|rke2|podman|crio|containerd",
    "backup_hosts": "backup|restic|borg|rsync",
    "registry": "registry|registries|harbor|images",
}
"""What is in the names that people give to groups, by the group that they mean, the surest first."""


def problems(groups: Mapping[str, Sequence[str]], hosts: Sequence[str], stem: str, place: str) -> list[str]:
    """Return a line for each mistake in the groups of an inventory with the file name `stem`, shown as `place`."""
    # pyinfra keeps `all` apart, and adds a group with the inventory's name and one for each connector (`@local`).
    written = [group for group in groups if not group.startswith("@") and group != stem]
    served, grouped = (
        {host for group in some for host in groups.get(group, ())} for some in (GROUPS, written)
    )
    own = {group: groups[group] for group in written if group not in GROUPS and not group.startswith(PREFIX)}
    own["all"] = [host for host in hosts if host not in grouped]
    found = []
    for group, members in own.items():
        if idle := [safe_name(host) for host in members if host not in served]:
            found.append(
                f"{safe_name(group)} ({place}): {some_of(idle)} {'is' if len(idle) == 1 else 'are'} in no group "
                f"that does anything; {_advice(group, members)}"
            )
        elif known := _misspelt(group, members, groups):
            found.append(f"{safe_name(group)} ({place}): unknown group; did you mean {known}?")
    registry, control = (
        list(dict.fromkeys(groups.get(group, ()))) for group in ("registry", "cluster_control")
    )
    if len(registry) != 1:
        found.append(f"registry = {redacted('', registry)} ({place}): must be a group of exactly one host")
    if len(control) > 1:
        found.append(
            f"cluster_control = {redacted('', control)} ({place}): must be a group of at most one host"
        )
    for host in registry:
        if host in groups.get("backup_hosts", ()):
            found.append(
                f"backup_hosts ({place}): {safe_name(host)} is the registry host, and a backup there is lost with it; "
                "put another host there, or set registry_backup_folder to a folder on another disk"
            )
    return found


def _misspelt(group: str, members: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str | None:
    """Return the group that is meant by one of nearly that name.

    Users may have groups of their own, even `docker_hosts2` if all its hosts are in `docker_hosts`.
    """
    near = difflib.get_close_matches(group, GROUPS, 1, 0.9)
    return next((known for known in near if set(members) - set(groups.get(known, ()))), None)


def _advice(group: str, members: Sequence[str]) -> str:
    """Return what to do about hosts that nothing is done on, by the name of their group and their number."""
    meant = difflib.get_close_matches(group, GROUPS, 1, 0.8)
    meant += [known for known, words in WORDS.items() if re.search(words, group.lower())]
    if not meant:
        return f"put {'it' if len(members) == 1 else 'them'} into {', '.join(GROUPS[:-1])} or {GROUPS[-1]}"
    # Only one host has its kubectl used, and each server of a cluster is a node as well.
    several_servers = meant[0] == "cluster_control" and len(members) > 1
    return f"did you mean {'cluster_nodes' if several_servers else meant[0]}?"
