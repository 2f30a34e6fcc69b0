"""Who counts as a user of a former password, and which hosts need the new one."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from tasks.accounts import former_passwords
from tasks.accounts.former_passwords import KUBELET_REMEMBERS, Log
from tasks.accounts.passwords import FormerPassword
from tasks.rotations.facts import FormerPasswordsFact
from tasks.settings.load import Settings
from tasks.settings.schema import HostSettings

NOW = 1_800_000_000.0
SINCE, DAY = dt.datetime(2027, 1, 15, tzinfo=dt.UTC), dt.timedelta(days=1)


def begun(name: str, entry: str = "name", status: int = 200, account: str = "ci") -> str:
    line = {"begun": name, "account": account, "from": "10.0.0.7", "entry": entry, "status": status}
    return json.dumps(line)


@pytest.mark.parametrize(
    ("lines", "ended", "users"),
    [
        pytest.param([], {}, {}, id="nobody"),
        pytest.param([begun("a")], {}, {"ci": {"10.0.0.7"}}, id="a pull under way"),
        pytest.param([begun("a", "")], {}, {"ci": {"10.0.0.7"}}, id="one that began before there were two"),
        pytest.param([begun("a", "next")], {}, {}, id="a pull with the present one"),
        pytest.param([begun("a")], {"a": 1}, {"ci": {"10.0.0.7"}}, id="just ended"),
        pytest.param([begun("a")], {"a": 16}, {}, id="long ended"),
        pytest.param([begun("a", status=401)], {}, {}, id="a wrong password"),
        pytest.param(
            [begun("a"), begun("b", account="x"), begun("c")],
            {"a": 900, "b": 2},
            {"ci": {"10.0.0.7"}, "x": {"10.0.0.7"}},
            id="several",
        ),
    ],
)
def test_who_uses_a_former_password(
    lines: list[str], ended: dict[str, float], users: dict[str, set[str]]
) -> None:
    times = {name: NOW - ago for name, ago in ended.items()}
    assert former_passwords.users(Log(lines, times, {}, NOW)) == users


def test_an_upload_written_to_lately_is_under_way() -> None:
    log = Log([], {}, {"team/slow": NOW - 2, "team/left": NOW - 900}, NOW)
    assert former_passwords.uploads(log) == {"team/slow"}


ANSWER = [
    'begun|{"begun":"7f","account":"a|b","from":"10.0.0.7","entry":"name","status":200}',
    "ended|7f|2027-01-15T08:00:00+00:00",
    "upload|./team/slow|1800000000.5",
    "upload|./team/over|",
    "now|1800000001.25",
    "end",
]


def test_the_fact_reads_the_hosts_answer() -> None:
    found = FormerPasswordsFact().process(ANSWER)
    assert found == Log(
        ['{"begun":"7f","account":"a|b","from":"10.0.0.7","entry":"name","status":200}'],
        {"7f": NOW},
        {"team/slow": NOW + 0.5},
        NOW + 1.25,
    )


@pytest.mark.parametrize(
    ("account", "group", "host", "keeps"),
    [
        ("cluster", "cluster_control", {}, True),
        ("ci", "cluster_control", {}, False),
        ("cluster", "docker_hosts", {}, False),
        ("cluster", "docker_hosts", {"registry_login_users": {"alice": None}}, True),
        ("ci", "docker_hosts", {"registry_login_users": {"alice": None}}, False),
        ("ci", "docker_hosts", {"registry_login_users": {"alice": None, "deploy": "ci"}}, True),
        ("cluster", "docker_hosts", {"registry_login_users": {"deploy": "ci"}}, False),
        ("ci", "cluster_nodes", {"registry_login_users": {"deploy": "ci"}}, False),
        ("cluster", "cluster_nodes", {"registry_login_users": {"alice": None}}, False),
        ("cluster", "cluster_nodes", {"registry_node_login": True}, True),
    ],
)
def test_which_hosts_keep_a_password(account: str, group: str, host: dict[str, Any], keeps: bool) -> None:
    assert former_passwords.stores_password(account, Settings(), HostSettings(**host), group) == keeps


@pytest.mark.parametrize(("output", "tried"), [("", False), ("asked\nHTTP/1.1 200 OK\r\n", True)])
def test_a_login_is_checked_by_its_status(output: str, tried: bool) -> None:
    assert former_passwords.check_proof(output) == tried


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("HTTP/1.1 401 Unauthorized\r\n", "the registry answers HTTP/1.1 401 Unauthorized"),
        ("", "the registry does not answer"),
    ],
)
def test_a_refused_login_is_an_error(answer: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        former_passwords.check_proof(f"asked\n{answer}")


@pytest.mark.parametrize(
    ("days", "updated", "until"),
    [(0, None, SINCE), (7, None, SINCE + 7 * DAY), (0, SINCE + DAY, SINCE + DAY + KUBELET_REMEMBERS)],
)
def test_until_when_a_former_password_is_accepted(
    days: int, updated: dt.datetime | None, until: dt.datetime
) -> None:
    former = FormerPassword("", SINCE, kubelet_updated=updated)
    assert former_passwords.good_until(former, Settings(registry_password_grace_days=days))[0] == until
