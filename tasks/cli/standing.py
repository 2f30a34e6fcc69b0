"""What the end of a run says of the registry and its clients: nothing but what this run saw."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pyinfra.api.output import format_text

from tasks.backup import age
from tasks.certificates.renewal import renewal_time
from tasks.clients.claims import Claim, Claims, join
from tasks.registry.context import RegistryContext
from tasks.registry.usage import Summary, summarize
from tasks.run.context import Run
from tasks.timer.units import timer_for
from tasks.verbs import with_inventory

RIGHTS = {"admin": "everything"}
"""What the end of a run calls a role, if not by its name."""


def lines(run: Run) -> list[str]:
    """Return a line for each thing that is known, without the accounts if this run changed nothing."""
    context = run.part(RegistryContext)
    is_known = context.served and context.desired.leaf is not None
    rows = (
        [*_registry(run), *_storage(run), *_clients(run), *_pods(run), *_certificate(run)] if is_known else []
    )
    rows += _backup(run)
    if is_known and run.report.count("taken"):
        rows += _accounts(run)
    if not rows:
        return []
    return ["", *(f"  {title:<12} {text}".rstrip() for title, text in rows)]


def in_order(run: Run, hosts: Collection[str]) -> list[str]:
    """Return hosts in the inventory's order: what is done on all at once ends in any."""
    names = list(run.configuration.hosts)
    return sorted(hosts, key=lambda host: names.index(host) if host in names else len(names))


def shown(path: Path) -> str:
    """Return a path as it can be pasted where the run was started."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _registry(run: Run) -> list[tuple[str, str]]:
    settings, host = run.configuration.settings, run.configuration.registry_host
    address = run.part(RegistryContext).address
    rows = [("Registry", f"https://{settings.endpoint}  ({address}, on {host})")]
    if len(settings.endpoints) > 1:
        rows.append(("", f"also as {', '.join(settings.endpoints[1:])}"))
    if doubt := _doubt(run):
        rows.append(("", format_text(doubt, "yellow")))
    return rows


def storage(run: Run) -> Summary:
    """Return how full the registry's storage is."""
    found = run.part(RegistryContext).found
    settings = run.configuration.settings
    return summarize(settings, found.usage, run.store.read_history()) if found else Summary()


def _storage(run: Run) -> list[tuple[str, str]]:
    found = storage(run)
    if not found.text:
        return []
    text = with_inventory(found.text, run.inventory)
    return [("Storage", text if found.level == "good" else format_text(text, "yellow"))]


def _doubt(run: Run) -> str:
    """Return what was not seen: that other hosts reach the registry."""
    host, claims = run.configuration.registry_host, run.part(Claims)
    if claims.seen - {host}:
        return ""
    if claims.seen and not set(claims.made) - {host}:
        return f"asked from {host} itself alone; whether other hosts reach it was not seen"
    return "no other host was seen to reach it"


def _clients(run: Run) -> list[tuple[str, str]]:
    claims = run.part(Claims)
    trusting, others = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    users = []
    finished = [
        (host, claim, claims.trusting[host, claim.group])
        for host in in_order(run, claims.made)
        for claim in claims.made[host].values()
        if (host, claim.group) in claims.trusting
    ]
    for host, claim, seen in finished:
        for title in claim.titles:
            (trusting if title in seen else others)[title].append(host)
        if claim.logged_in:
            users.append(f"{', '.join(claim.logged_in)} on {host}")
    rows = [("Trusted by", _by_title(trusting)), ("Has the CA", _by_title(others))]
    rows.append(("Logged in", " · ".join(users)))
    rows.append(("Caches", _cached(finished)))
    return [(title, text) for title, text in rows if text]


def _cached(finished: Sequence[tuple[str, Claim, Sequence[str]]]) -> str:
    """Return which hosts the caches were seen to answer."""
    answered = [
        (host, claim.mirror)
        for host, claim, seen in finished
        if claim.mirror and claim.mirror.endpoint in seen
    ]
    if not answered:
        return ""
    used, hosts = answered[0][1], dict.fromkeys(host for host, _ in answered)
    return f"of {join(used.names)} answered {', '.join(hosts)} at {used.endpoint}"


def _by_title(hosts: Mapping[str, Sequence[str]]) -> str:
    return " · ".join(f"{', '.join(names)} ({title})" for title, names in hosts.items())


def _pods(run: Run) -> list[tuple[str, str]]:
    hosts = [host for host, group in run.finished if group == "cluster_control"]
    names = run.configuration.settings.registry_pull_secret_namespaces
    if not hosts or not names:
        return []
    where = "every namespace but kube-*" if names == ("*",) else ", ".join(names)
    but = ", but for what is named below" if run.report.problems.get(hosts[0]) else ""
    return [("Pods", f"can pull in: {where}{but}")]


def _certificate(run: Run) -> list[tuple[str, str]]:
    leaf = run.part(RegistryContext).desired.leaf
    if leaf is None:
        return []
    end = leaf.certificate.not_valid_after_utc
    renew = renewal_time(leaf.certificate, run.configuration.settings.renew_before_days)
    timer = "the timer does" if has_timer(run) else "make timer runs it for you"
    return [
        ("Certificate", f"until {end:%Y-%m-%d}; the first run after {renew:%Y-%m-%d} renews it ({timer})"),
    ]


def _backup(run: Run) -> list[tuple[str, str]]:
    """Return how old the last good backup is, if there is to be one."""
    if not (targets := age.targets(run.configuration)):
        return []
    last = age.read_last(run.store.read_backups())
    return [("Backup", age.describe(targets, last, dt.datetime.now(dt.UTC)))]


def has_timer(run: Run) -> bool:
    """Return whether `make timer` made a timer for this inventory."""
    return timer_for(run.inventory).is_made


def _accounts(run: Run) -> list[tuple[str, str]]:
    accounts = run.configuration.settings.registry_accounts
    roles = " · ".join(f"{name} ({RIGHTS.get(role, role)})" for name, role in accounts.items())
    return [
        ("Accounts", roles),
        ("", f"passwords: {shown(run.store.folder)}/accounts/NAME.password"),
        ("CA", f"{shown(run.store.ca_bundle_path)}, for machines outside the inventory"),
    ]
