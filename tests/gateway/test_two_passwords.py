"""Two valid passwords at once: the former one works like the present one until nobody needs it, and is then revoked."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from dataclasses import dataclass

import pytest

from tests.fleet.deployment import RunResult
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.wire import store

REPOSITORY = "two/passwords"
HTPASSWD = "/etc/homelab-registry/registry/htpasswd"
FLAG_FILE = "/etc/homelab-registry/gateway/two-passwords"


@dataclass(frozen=True)
class Overlap:
    """A registry whose accounts have two passwords; `former` and `present` are Authorization headers by role."""

    gateway: Gateway
    started: str
    former: dict[str, str]
    present: dict[str, str]


def run(gateway: Gateway, deploy: str = "deploy.py", **settings: object) -> RunResult:
    gateway.deployment.set(
        registry_state_dir=str(gateway.deployment.store.folder), registry_max_guesses=1000,
        **gateway.source, **settings,
    )  # fmt: skip
    return gateway.deployment.run(deploy=deploy)


def logins(gateway: Gateway) -> dict[str, str]:
    return {role: gateway.authorization(role) for role in ACCOUNTS}


def start_times(gateway: Gateway) -> str:
    return gateway.host.run(
        "docker inspect -f '{{.State.StartedAt}}' homelab-registry homelab-registry-gateway"
    ).stdout


@pytest.fixture(scope="module")
def overlap(gateway: Gateway) -> Overlap:
    """All accounts after a rotation with a grace period of one day; an image was pushed before."""
    assert run(gateway, registry_password_grace_days=1).exit_code == 0
    store(gateway, REPOSITORY)
    before, former = start_times(gateway), logins(gateway)
    ran = run(gateway, "deploys/rotate_credentials.py", registry_password_grace_days=1)
    assert ran.exit_code == 0, ran.output
    return Overlap(gateway, before, former, logins(gateway))


def test_nothing_is_restarted(overlap: Overlap) -> None:
    assert start_times(overlap.gateway) == overlap.started


@pytest.mark.parametrize("role", ACCOUNTS)
@pytest.mark.parametrize("which", ["former", "present"])
def test_both_passwords_can_read_and_get_no_challenge(overlap: Overlap, role: str, which: str) -> None:
    login = getattr(overlap, which)[role]
    for target in ("/v2/", f"/v2/{REPOSITORY}/tags/list"):
        answer = overlap.gateway.request("GET", target, login)
        assert answer.status == 200
        assert answer.header("WWW-Authenticate") is None


@pytest.mark.parametrize("which", ["former", "present"])
def test_both_passwords_have_their_account_s_role(overlap: Overlap, which: str) -> None:
    logins, upload = getattr(overlap, which), f"/v2/{REPOSITORY}/blobs/uploads/"
    answers = {role: overlap.gateway.request("POST", upload, logins[role]).status for role in ACCOUNTS}
    assert answers == {"admin": 202, "push": 202, "pull": 403}
    absent = f"/v2/{REPOSITORY}/manifests/sha256:{'0' * 64}"
    answers = {role: overlap.gateway.request("DELETE", absent, logins[role]).status for role in ACCOUNTS}
    assert answers == {"admin": 404, "push": 403, "pull": 403}


def test_an_upload_can_begin_with_the_former_password_and_end_with_the_present_one(overlap: Overlap) -> None:
    gateway, body = overlap.gateway, b"begun before"
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    begun = gateway.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", overlap.former["push"])
    location = begun.header("Location") or ""
    patched = gateway.request(
        "PATCH", location, overlap.former["push"], {"Content-Type": "application/octet-stream"}, body
    )
    assert patched.status == 202
    location = patched.header("Location") or ""
    joint = "&" if "?" in location else "?"
    ended = gateway.request("PUT", f"{location}{joint}digest={digest}", overlap.present["push"])
    assert ended.status == 201
    assert gateway.request("GET", f"/v2/{REPOSITORY}/blobs/{digest}", overlap.former["pull"]).body == body


@pytest.mark.parametrize(
    "login",
    [
        None,
        basic("ci", "wrong"),
        basic("nobody", "wrong"),
        basic("-", ""),
        basic("", ""),
        "Basic",
        "Basic LS0t",
        "Bearer x",
    ],
)
def test_all_other_logins_get_the_same_refusal(overlap: Overlap, login: str | None) -> None:
    answers = [
        overlap.gateway.request(method, target, login)
        for method, target in (
            ("GET", "/v2/"),
            ("GET", f"/v2/{REPOSITORY}/tags/list"),
            ("POST", f"/v2/{REPOSITORY}/blobs/uploads/"),
        )
    ]
    assert {answer.status for answer in answers} == {401}
    assert {answer.header("WWW-Authenticate") for answer in answers} == {f'Basic realm="{NAME}"'}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("role", ACCOUNTS)
def test_the_entry_of_a_former_password_is_not_an_account(overlap: Overlap, role: str) -> None:
    """Neither the entry's own name is accepted nor that name with the hyphens that the gateway adds."""
    _, _, password = b64decode(overlap.former[role].removeprefix("Basic ")).decode().partition(":")
    for name in (f"---{ACCOUNTS[role]}", f"------{ACCOUNTS[role]}"):
        assert overlap.gateway.request("GET", "/v2/", basic(name, password)).status == 401


def test_a_plain_run_keeps_former_passwords_during_the_grace_period(overlap: Overlap) -> None:
    ran = run(overlap.gateway, registry_password_grace_days=1)
    assert (ran.exit_code, ran.steps) == (0, [])
    assert len(re.findall("the former password of .* is still accepted: until ", ran.output)) == len(ACCOUNTS)


def test_a_second_rotation_moves_clients_to_the_present_password_first(overlap: Overlap) -> None:
    ran = run(overlap.gateway, "deploys/rotate_credentials.py", registry_password_grace_days=1)
    assert (ran.exit_code, ran.steps) == (0, [])
    assert logins(overlap.gateway) == overlap.present
    assert "no further one is made, and this run moves clients to the present one" in ran.output


def test_the_former_password_of_one_account_can_be_revoked_alone(overlap: Overlap) -> None:
    ran = run(
        overlap.gateway,
        "deploys/revoke_credentials.py",
        registry_password_grace_days=1,
        registry_rotate_account="ci",
    )
    assert ran.exit_code == 0, ran.output
    good = {
        role: [
            overlap.gateway.request("GET", "/v2/", which[role]).status
            for which in (overlap.former, overlap.present)
        ]
        for role in ACCOUNTS
    }
    assert good == {"admin": [200, 200], "push": [401, 200], "pull": [200, 200]}


def test_after_the_last_revocation_everything_is_as_before(overlap: Overlap) -> None:
    gateway = overlap.gateway
    ran = run(gateway, "deploys/revoke_credentials.py", registry_password_grace_days=1)
    assert ran.exit_code == 0, ran.output
    assert {gateway.request("GET", "/v2/", login).status for login in overlap.former.values()} == {401}
    assert {gateway.request("GET", "/v2/", login).status for login in overlap.present.values()} == {200}
    assert "---" not in gateway.host.run(f"cat {HTPASSWD}").stdout
    assert gateway.host.run(f"test ! -e {FLAG_FILE}", check=False).exit_code == 0
    assert start_times(gateway) == overlap.started
    assert run(gateway).steps == []


SLOW = f"""
cd /root
exec > slow.log 2>&1
curl="curl -K slow.conf --fail"
host=https://{NAME}
push() {{
    at=$($curl -D - -o /dev/null -X POST $host/v2/{REPOSITORY}/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
    touch begun
    $curl --limit-rate 1M -X PATCH -H 'Content-Type: application/octet-stream' -D slow.head -o /dev/null -T slow "$host$at"
    at=$(tr -d '\\r' < slow.head | sed -n 's/^[Ll]ocation: //p')
    case "$at" in (*\\?*) at="$at&" ;; (*) at="$at?" ;; esac
    $curl -o /dev/null -w 'push %{{http_code}}\\n' -X PUT "$host${{at}}digest=sha256:$(sha256sum < slow | cut -d ' ' -f 1)"
}}
pull() {{
    $curl --limit-rate 1M -o /dev/null $host/v2/{REPOSITORY}/blobs/$1
    $curl -o /dev/null -w 'pull %{{http_code}}\\n' $host/v2/{REPOSITORY}/blobs/$1
}}
push & pull $1 & wait
touch slow.done
"""


# Both versions keep uploads in the same folders.
@pytest.mark.usefixtures("soak")
@pytest.mark.parametrize("gateway", ["2.8", pytest.param("3.1", marks=pytest.mark.soak)], indirect=True)
def test_a_rotation_waits_for_transfers_in_progress(gateway: Gateway) -> None:
    """A pull and a push of half a minute start before the rotation, and each sends one more request after it."""
    host, login = gateway.host, gateway.authorization("push")
    host.run("command -v curl || { apt-get update -q && apt-get install -q -y curl; }")
    host.run("cd /root && head -c 30000000 /dev/urandom > slow && rm -f begun slow.done")
    layer = host.run("sha256sum < /root/slow").stdout.split()[0]
    head = f'header = "Authorization: {login}"'
    host.write(
        "/root/slow.conf",
        f'silent\nshow-error\n{head}\ncacert = "/etc/docker/certs.d/{NAME}/ca.crt"\n',
        "0600",
    )
    host.write("/root/slow.sh", SLOW)
    at = gateway.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", login).header("Location") or ""
    at += f"{'&' if '?' in at else '?'}digest=sha256:{layer}"
    host.run(f"curl -K /root/slow.conf --fail -T /root/slow 'https://{NAME}{at}'")
    host.run("head -c 30000000 /dev/urandom > /root/slow")
    host.run(f"setsid sh /root/slow.sh sha256:{layer} </dev/null >/dev/null 2>&1 &")
    host.wait_until("test -e /root/begun", 30, "the push")
    ran = run(gateway, "deploys/rotate_credentials.py")
    assert ran.exit_code == 0, ran.output
    assert "still accepted" not in ran.output
    assert host.run("ls /root/slow.done", check=False).exit_code == 0
    assert sorted(host.read("/root/slow.log").splitlines()) == ["pull 200", "push 201"]
    assert gateway.request("GET", "/v2/", login).status == 401
