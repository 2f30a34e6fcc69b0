"""Limits per address: slow clients and guesses affect nobody else, and do not reveal which accounts exist."""

from __future__ import annotations

import json
import shlex
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.gateway import pressure
from tests.gateway.curl import Curl
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.held_requests import http2
from tests.gateway.memory import CONTAINERS, sample_memory
from tests.gateway.pressure import Target, under_attack

CUSTOM = "anna"
ROLES = {account: role for role, account in ACCOUNTS.items()} | {CUSTOM: "pull"}


def deploy(gateway: Gateway, **settings: object) -> None:
    """Deploy the version under test with an account with a custom password, and with these settings."""
    (gateway.deployment.store.folder / "accounts" / f"{CUSTOM}.password").write_text(
        "correct horse battery\n"
    )
    gateway.deploy(registry_accounts=ROLES, **settings)


@contextmanager
def temporarily_deployed(gateway: Gateway, **settings: object) -> Iterator[None]:
    """Deploy with other settings, and restore the settings at the end."""
    deploy(gateway, **settings)
    try:
        yield
    finally:
        deploy(gateway)


def forget_guesses(gateway: Gateway) -> None:
    """Restart both containers, since the gateway counts an address's wrong passwords for minutes."""
    gateway.host.run("docker restart homelab-registry homelab-registry-gateway")
    status = f"{Curl(gateway, 'pull').start()} --fail https://{NAME}/v2/"
    gateway.host.wait_until(status, 30, "the registry")


@dataclass(frozen=True)
class Image:
    """A pushed image: the paths of its manifest and of its one large layer."""

    manifest: str
    blob: str


@pytest.fixture(scope="module")
def image(gateway: Gateway) -> Image:
    """A pushed image with a layer that does not fit into a socket's buffers, and the account with a custom password."""
    deploy(gateway)
    gateway.crane(
        "push",
        "version >/dev/null; cd /root && head -c 20000000 /dev/urandom > layer && tar -cf layer.tar layer && "
        f"crane append -f layer.tar -t {NAME}/limits:v1 >/dev/null 2>&1",
    )
    manifest = json.loads(gateway.crane("pull", f"manifest {NAME}/limits:v1").stdout)
    digest = manifest["layers"][0]["digest"]
    return Image("/v2/limits/manifests/v1", f"/v2/limits/blobs/{digest}")


HEADER_TIMEOUT = 15
"""Seconds after which the gateway ends the first of these connections (client_header_timeout): a client that had to wait
for them would wait that long. How long a pull takes otherwise depends on the machine."""


@pytest.mark.parametrize("gateway", ["2.8"], indirect=True)  # the gateway alone holds these connections
@pytest.mark.parametrize(
    ("attack", "connections"),
    [(pressure.silent, 500), (pressure.slow_header, 300), (pressure.slow_reader, 250)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_other_clients_can_pull_while_connections_are_held(
    gateway: Gateway, image: Image, soak: bool, attack: pressure.Attack, connections: int
) -> None:
    pull_under_attack(gateway, image, soak, attack, connections)


@pytest.mark.parametrize(
    ("attack", "connections", "account"),
    [
        (pressure.stalled_upload, 250, ""),  # the gateway serves 256 at once
        (pressure.guess, 100, "cluster"),
        (pressure.guess, 100, "nobody"),
        (pressure.guess, 100, CUSTOM),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_other_clients_can_pull_while_the_registry_is_asked(
    gateway: Gateway, image: Image, soak: bool, attack: pressure.Attack, connections: int, account: str
) -> None:
    pull_under_attack(gateway, image, soak, attack, connections, account)


def pull_under_attack(
    gateway: Gateway, image: Image, soak: bool, attack: pressure.Attack, connections: int, account: str = ""
) -> None:
    """The others come from another address, the host's own."""
    forget_guesses(gateway)
    target = Target(gateway, image.blob, account)
    pulling = f"{Curl(gateway, 'push').start()} -w '%{{http_code}} %{{time_total}}\n' -o /dev/null"
    script = (
        f"end=$(($(date +%s) + {15 if soak else 5})); while [ $(date +%s) -lt $end ]; do "
        f"{pulling} https://{NAME}{image.manifest} -o /dev/null -r 0-999999 https://{NAME}{image.blob} || echo 0 9; done"
    )
    with under_attack(attack, target, connections):
        end = time.monotonic() + 30
        while target.open < connections * (0.5 if account else 1) and time.monotonic() < end:
            time.sleep(0.05)
        reached = target.open
        answers = [line.split() for line in gateway.host.run(script).stdout.splitlines()]
    seconds = [float(took) for _, took in answers]
    print(
        f"{gateway.version} {attack.__name__} {account}: {reached} connections, {dict(target.seen)}; {len(answers)} answers, "
        f"median {statistics.median(seconds):.3f}, slowest {max(seconds):.3f} s"
    )
    assert account or reached == connections
    assert not account or sum(target.seen.values()) >= connections
    assert {code for code, _ in answers} == {"200", "206"}
    assert max(seconds) < HEADER_TIMEOUT / 2


@pytest.mark.parametrize("account", ["cluster", "nobody"])
def test_wrong_passwords_are_answered_at_the_configured_rate(
    gateway: Gateway, image: Image, account: str
) -> None:
    """The first is answered at once, then two a second; right passwords from the same address do not wait."""
    guesses = 9

    def answered(authorization: str, wanted: int) -> float:
        answer = gateway.request("GET", "/v2/", authorization)
        assert answer.status == wanted
        return time.monotonic()

    forget_guesses(gateway)
    began = time.monotonic()
    with ThreadPoolExecutor(guesses) as threads:
        wrong = [threads.submit(answered, basic(account, f"wrong-{each}"), 401) for each in range(guesses)]
        right = []
        while not all(each.done() for each in wrong):
            asked = time.monotonic()
            right.append(answered(gateway.authorization("pull"), 200) - asked)
    after = sorted(each.result() - began for each in wrong)
    rate = (guesses - 1) / (after[-1] - after[0])
    print(
        f"{gateway.version} {account}: the first after {after[0]:.3f} s, then {rate:.2f} a second; "
        f"{len(right)} right passwords, median {statistics.median(right):.3f}, slowest {max(right):.3f} s"
    )
    assert after[0] < 1
    assert 1.6 < rate < 2.2
    assert len(right) > 10
    assert max(right) < 1


BUSY = "too much at once from {address}; try again in a moment"


@pytest.mark.parametrize("gateway", ["2.8"], indirect=True)  # the answers are the gateway's own
def test_requests_beyond_the_limit_are_asked_to_retry(gateway: Gateway, image: Image) -> None:
    """Docker and crane show the message too; once the other requests end, new ones succeed."""
    host = gateway.host
    slow = f"{Curl(gateway, 'push').start()} --limit-rate 1k -o /dev/null https://{NAME}{image.blob}"
    name = f"{NAME}/limits:v1"
    host.run(f"docker login -u {ACCOUNTS['pull']} --password-stdin {NAME}", stdin=gateway.password("pull"))
    with temporarily_deployed(gateway, registry_max_requests=4):
        host.run(f"for i in 1 2 3 4; do {slow} & echo $!; done > /tmp/slow 2>/dev/null")
        try:
            host.wait_until(
                f"{Curl(gateway, 'push').start()} -o /dev/null -w '%{{http_code}}' https://{NAME}/v2/ | grep 429",
                10,
                "the limit",
            )
            for version in ("1.1", "2"):
                got = Curl(gateway, "pull", version).get(image.manifest)
                assert (got.version, got.status) == (version, 429)
                assert got.headers["retry-after"] == "1"
                assert got.headers["content-type"] == "application/json"
                (error,) = json.loads(host.read("/tmp/got"))["errors"]
                address = error["message"].split()[5].rstrip(";")
                assert error == {"code": "TOOMANYREQUESTS", "message": BUSY.format(address=address)}
                assert got.headers["docker-distribution-api-version"] == "registry/2.0"
            shown = [
                gateway.crane("pull", f"manifest {name}", check=False),
                host.run(f"docker pull {name}", check=False),
            ]
            elsewhere = gateway.request("GET", image.manifest, gateway.authorization("pull"))
        finally:
            host.run("kill $(cat /tmp/slow)")
        print(f"{gateway.version}: {[each.stderr.strip() for each in shown]}")
        for each in shown:
            assert each.exit_code != 0
            assert BUSY.format(address=address) in each.stderr
        assert elsewhere.status == 200
        host.wait_until(f"docker pull -q {name}", 10, "the image")
        assert Curl(gateway, "pull", "2").get(image.manifest).status == 200


ASK = """
import base64, http.client, os, ssl, statistics, sys, time
name, rounds = sys.argv[1], int(sys.argv[2])
trust = ssl.create_default_context(cafile=f"/etc/docker/certs.d/{name}/ca.crt")
connection = http.client.HTTPSConnection(name, context=trust)
took = {"cluster": [], "nobody": []}
for each in range(rounds):
    for account in sorted(took, reverse=each % 2):
        login = base64.b64encode(f"{account}:{os.urandom(16).hex()}".encode()).decode()
        began = time.perf_counter()
        connection.request("GET", "/v2/", headers={"Authorization": f"Basic {login}"})
        answer = connection.getresponse()
        answer.read()
        took[account].append(time.perf_counter() - began)
        assert answer.status == 401, answer.status
print(*(statistics.median(took[account]) for account in sorted(took)))
"""


def test_timing_does_not_reveal_which_accounts_exist(gateway: Gateway, image: Image) -> None:
    """Compare an unknown account with one that has a generated password, with a limit so high that it does not apply."""
    with temporarily_deployed(gateway, registry_max_guesses=1000):
        output = gateway.host.run(f"python3 - {NAME} 300", stdin=ASK).stdout
    known, unknown = map(float, output.split())
    print(f"{gateway.version}: a known account {known * 1000:.2f} ms, an unknown one {unknown * 1000:.2f} ms")
    assert abs(known - unknown) <= 0.001


# Every way to the registry's comparison: what clients ask, methods that nginx refuses early, paths of internal locations.
WAYS = [
    ("GET", "/v2/"), ("GET", "/v2/x/manifests/1"), ("HEAD", "/v2/x/manifests/1"), ("GET", "/v2/x/blobs/{blob}"),
    ("PUT", "/v2/x/manifests/1"), ("PUT", "/v2/x/blobs/uploads/u"), ("DELETE", "/v2/x/manifests/1"), ("GET", "/v2/x/other"),
    ("GET", "/elsewhere"), ("TRACE", "/v2/"), ("CONNECT", "/v2/"), ("MKCOL", "/v2/"), ("GET", "/_malformed"),
    *(("GET", f"/_check_{name}") for name in ("password", "read", "entry", "next_entry")),
]  # fmt: skip
GUESSES = 24
AT_ONCE, RATE = 8, 2
"""What the gateway lets through of one address to an account with a custom password: at once, and then a second."""

GUESS = """
import concurrent.futures, json, os, socket, ssl, sys, base64
name, account, seconds, ways = sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4])
trust = ssl.create_default_context(cafile=f"/etc/docker/certs.d/{name}/ca.crt")
def guess(way):
    login = base64.b64encode(f"{account}:{os.urandom(16).hex()}".encode()).decode()
    with trust.wrap_socket(socket.create_connection((name, 443)), server_hostname=name) as connection:
        head = f"{way[0]} {way[1]} HTTP/1.1\\r\\nHost: {name}\\r\\nAuthorization: Basic {login}\\r\\n"
        connection.sendall(f"{head}Content-Length: 0\\r\\nConnection: close\\r\\n\\r\\n".encode())
        return connection.recv(100).split()[1].decode()
pool = concurrent.futures.ThreadPoolExecutor(len(ways))
done, _ = concurrent.futures.wait([pool.submit(guess, way) for way in ways], seconds)
print(*sorted(each.result() for each in done), flush=True)
os._exit(0)
"""


def processor_seconds(gateway: Gateway) -> float:
    """Return how much processor time the registry has used."""
    read = "cut -d ' ' -f 14,15 /proc/$(docker inspect -f '{{.State.Pid}}' homelab-registry)/stat; getconf CLK_TCK"
    *ticks, in_a_second = map(int, gateway.host.run(read).stdout.split())
    return sum(ticks) / in_a_second


def cost(gateway: Gateway, account: str, ways: list[tuple[str, str]], seconds: float) -> tuple[float, int]:
    """Guess at the account's password by each way at once, for some seconds at most.

    Return the registry's processor seconds, and how many guesses the limit allows in that time.
    """
    forget_guesses(gateway)
    before, began = processor_seconds(gateway), time.monotonic()
    asked = f"python3 - {NAME} {account} {seconds} {shlex.quote(json.dumps(ways))}"
    answers = Counter(gateway.host.run(asked, stdin=GUESS).stdout.split())
    used, took = processor_seconds(gateway) - before, time.monotonic() - began
    print(f"{account}, {len(ways)} guesses, first by {ways[0]}: {used:.2f} s of processor, {dict(answers)}")
    assert set(answers) <= {"401", "429"}
    return used, min(len(ways), round(AT_ONCE + RATE * took))


@pytest.mark.parametrize("gateway", ["2.8"], indirect=True)
def test_no_way_leads_past_the_limit_on_guesses(gateway: Gateway, image: Image, soak: bool) -> None:
    """Of guesses by all ways at once the registry checks no more than the limit allows.

    The account has a generated password, whose check is so fast that the machine is no limit, and the flag of a custom one.
    """
    ways = [(method, path.replace("{blob}", image.blob.rpartition("/")[2])) for method, path in WAYS]
    admin = ACCOUNTS["admin"]
    flag = f"/etc/homelab-registry/gateway/typed/{admin}"
    gateway.host.run(f"install -m 0644 /dev/null {flag}")
    try:
        one, allowed_by_one = cost(gateway, admin, GUESSES * ways[:1], 60)
        together, allowed = cost(gateway, admin, GUESSES * ways, 5)
    finally:
        gateway.host.run(f"rm {flag}")
    assert together < 2 * one * allowed / allowed_by_one
    costs = {way: cost(gateway, CUSTOM, GUESSES * [way], 60)[0] for way in ways} if soak else {}
    assert all(each < 1.25 * costs[ways[0]] for each in costs.values())


@pytest.mark.parametrize("gateway", ["2.8"], indirect=True)
def test_a_stranger_does_not_fill_the_log(gateway: Gateway, image: Image) -> None:
    """Requests without a password leave a line a second; long names and paths and foreign names are cut."""
    forget_guesses(gateway)
    since = gateway.host.run("date +%s.%N").stdout.strip()
    began = time.monotonic()
    for each in range(200):
        assert gateway.request("GET", f"/v2/{each}{'x' * 4000}/tags/list").status == 401
    for guess in range(4):
        answer = gateway.request("GET", f"/v2/{'x' * 4000}/tags/list", basic("y" * 2000, f"{guess}"))
        assert answer.status == 401
    took = time.monotonic() - began
    assert gateway.request("GET", "/v2/last/tags/list", gateway.authorization("pull")).status == 404
    read = f"docker logs --since {since} homelab-registry-gateway 2>/dev/null"
    gateway.host.wait_until(f"{read} | grep -q /v2/last/", 10, "the last line of the log")
    lines = [json.loads(line) for line in gateway.host.run(read).stdout.splitlines()]
    refused = [line for line in lines if line.get("status") == 401]
    assert 4 <= len(refused) <= 4 + took + 2
    assert {line["account"] for line in refused} == {""}
    assert max(len(line["path"]) for line in refused) == 400


MEGABYTE = 2**20


@pytest.mark.parametrize("gateway", ["2.8"], indirect=True)
@pytest.mark.parametrize("path", ["blobs/uploads/u", "manifests/v1"])
def test_requests_without_a_password_hold_little_memory(gateway: Gateway, image: Image, path: str) -> None:
    """Hold 512 requests of one address: over HTTP/2 with as much of a body as is taken, and answers that are not."""
    forget_guesses(gateway)
    wrong = ("authorization", basic(ACCOUNTS["push"], "a-wrong-guess"))
    with sample_memory(gateway.host) as peaks, http2(gateway, 512, f"/v2/held/{path}", [wrong], 65536):
        pass  # all are answered and still held
    grown = {name: round(peaks.memory(name) / MEGABYTE) for name in CONTAINERS}
    print(f"{path}: {grown} MB above idle")
    assert grown["homelab-registry-gateway"] > 5  # they do reach it
    assert peaks.memory(*CONTAINERS) <= 64 * MEGABYTE
