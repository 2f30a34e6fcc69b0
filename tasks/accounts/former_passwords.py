"""Former passwords: how long they stay valid beside the present ones, who uses them, and a test of the present ones."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.accounts.logins import Login
from tasks.accounts.passwords import FormerPassword
from tasks.remote.steps import Step
from tasks.settings.load import HostSettings, Settings

QUIET = 15.0
"""Seconds without a request after which a pull or push counts as ended."""

KUBELET_REMEMBERS = dt.timedelta(minutes=10)
"""A kubelet reads its login again every five minutes (kubernetes, pkg/credentialprovider/defaults.go). A run needs at
most another five between recording that it is about to write that login and writing it."""


@dataclass(frozen=True)
class Log:
    """Recent requests and uploads on the registry host, and the host's time. Times are seconds since 1970.

    `begun` are the gateway's log lines on accepted requests, `ended` the time at which each was over, by its id.
    `uploads` is when each upload that began before there were two passwords was last written to, by its repository.
    """

    begun: Sequence[str]
    ended: Mapping[str, float]
    uploads: Mapping[str, float]
    now: float


def users(log: Log) -> dict[str, set[str]]:
    """Return who uses a former password: account → addresses with a request that is open or ended within `QUIET`."""
    found = defaultdict(set)
    for line in map(json.loads, log.begun):
        if line["entry"] == "next" or line["status"] != 200:
            continue
        if log.ended.get(line["begun"], log.now) > log.now - QUIET:
            found[line["account"]].add(line["from"])
    return dict(found)


def uploads(log: Log) -> set[str]:
    """Return the repositories with an upload under way that began with a password that may be a former one by now."""
    return {repository for repository, written in log.uploads.items() if written > log.now - QUIET}


def good_until(former: FormerPassword, settings: Settings) -> tuple[dt.datetime, str]:
    """Return until when a former password stays valid at least, and why."""
    days = dt.timedelta(days=settings.registry_password_grace_days)
    ends = [(former.since + days, "registry_password_grace_days")]
    if former.kubelet_updated:
        ends.append((former.kubelet_updated + KUBELET_REMEMBERS, "kubelets remember it"))
    return max(ends)


def stores_password(account: str, settings: Settings, host: HostSettings, group: str) -> bool:
    """Return whether a host of a group stores the password of an account, and so has to get a new one."""
    if group == "cluster_control":
        return account == settings.registry_pull_secret_account
    if group == "docker_hosts":
        return account in host.login_accounts(settings).values()
    return account == settings.registry_login_account and host.registry_node_login


def prove(login: Login, settings: Settings) -> Step:
    """Return the step that logs in on the registry host; it prints `asked` and the status line.

    It prints nothing if the host has no openssl to ask with.
    """
    request = (
        f"GET /v2/ HTTP/1.1\r\nHost: {settings.registry_hostname}\r\nConnection: close\r\n"
        f"Authorization: Basic {login.auth}\r\n\r\n"
    )
    return Step(
        f"log in as {login.account}: the present password has to work before the former one is revoked",
        "command -v openssl >/dev/null || exit 0\n"
        "echo asked\n"
        f"head -c {len(request)} | timeout 20 openssl s_client -quiet -connect {settings.local_endpoint} "
        f"-servername {settings.registry_hostname} 2>/dev/null | head -n 1",
        request,
    )


def check_proof(output: str) -> bool:
    """Return whether the login was tried; `ValueError` if it failed. `output` is what the step of `prove` printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if lines[:1] != ["asked"]:
        return False
    if not lines[1:]:
        raise ValueError("the registry does not answer")
    if " 200" not in lines[1]:
        raise ValueError(f"the registry answers {lines[1]}")
    return True


def without(former: Mapping[str, FormerPassword], revoked: Sequence[str]) -> dict[str, FormerPassword]:
    """Return the former passwords without those that were revoked."""
    return {name: each for name, each in former.items() if name not in revoked}
