"""Who is taken to use a former password, and which hosts have to be given a new one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.model import former_passwords
from tasks.model.former_passwords import Log
from tasks.model.keys import HostSettings
from tasks.model.settings import Settings

NOW = 1_800_000_000.0


def begun(name: str, ago: float, status: int = 200, account: str = "ci", address: str = "10.0.0.7") -> str:
    line = {"begun": name, "at": NOW - ago, "account": account, "from": address, "status": status}
    return json.dumps(line)


def ended(name: str, ago: float) -> str:
    return json.dumps({"ended": name, "at": NOW - ago})


@pytest.mark.parametrize(
    ("lines", "users"),
    [
        pytest.param([], {}, id="nobody"),
        pytest.param([begun("a", 900)], {"ci": {"10.0.0.7"}}, id="an upload under way"),
        pytest.param([begun("a", 900), ended("a", 1)], {"ci": {"10.0.0.7"}}, id="just ended"),
        pytest.param([begun("a", 900), ended("a", 16)], {}, id="long ended"),
        pytest.param([begun("a", 1, 401), ended("a", 1)], {}, id="a wrong password"),
        pytest.param(
            [begun("a", 900), begun("b", 3, account="x"), ended("b", 2), ended("a", 800), begun("c", 2)],
            {"ci": {"10.0.0.7"}, "x": {"10.0.0.7"}},
            id="several",
        ),
    ],
)
def test_who_uses_a_former_password(lines: list[str], users: dict[str, set[str]]) -> None:
    assert former_passwords.users(Log(lines, NOW)) == users


@pytest.mark.parametrize(
    ("account", "group", "host", "keeps"),
    [
        ("cluster", "cluster_control", {}, True),
        ("ci", "cluster_control", {}, False),
        ("cluster", "docker_hosts", {}, False),
        ("cluster", "docker_hosts", {"registry_login_users": ("alice",)}, True),
        ("ci", "docker_hosts", {"registry_login_users": ("alice",)}, False),
        ("cluster", "cluster_nodes", {"registry_login_users": ("alice",)}, False),
        ("cluster", "cluster_nodes", {"registry_node_login": True}, True),
    ],
)
def test_which_hosts_keep_a_password(account: str, group: str, host: dict[str, Any], keeps: bool) -> None:
    assert former_passwords.keeps(account, Settings(), HostSettings(**host), group) == keeps


@pytest.mark.parametrize(("told", "proven"), [("", False), ("HTTP/1.1 200 OK\r\n", True)])
def test_a_login_is_proven_by_its_status(told: str, proven: bool) -> None:
    assert former_passwords.check_proof(told) == proven


def test_a_login_that_is_refused_is_no_proof() -> None:
    with pytest.raises(ValueError, match=r"^the registry answers HTTP/1.1 401 Unauthorized$"):
        former_passwords.check_proof("HTTP/1.1 401 Unauthorized\r\n")
