"""What Prometheus reads of a registry: who may read it, that nothing in it is a client's, and that no request is missed."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.prometheus import Prometheus, prometheus, promtool

ACCOUNT = "metrics"
SHARED = "/var/lib/docker/volumes/homelab-registry-metrics/_data"
"""On the host: what the gateway and the container of the metrics share."""

LABELS = {
    "method": "pull|push|delete|other",
    "kind": "manifest|upload|blob|list|login|metrics|other",
    "code": "[1-5][0-9]{2}",
    "le": r"[0-9.]+|\+Inf",
    "result": "hit|miss|stale|error|other",
}
"""Each label that there is, and its values."""


def check_metrics(
    gateway: Gateway, settings: dict[str, object], pull: Callable[[], None], folder: Path, *, rotate: bool
) -> None:
    """Check all of it on a registry with these settings, whose caches `pull` uses once.

    `folder` is for Prometheus, `rotate` as in `check_guesser`.
    """
    more = {"registry_metrics": True, "registry_max_guesses": 1000, "registry_storage_limit": "30GB"}
    gateway.deploy(**settings, **more)
    check_run(gateway)
    # What a timer and a collection leave, and a backup that is to be made.
    images = "/var/lib/homelab-registry/.homelab-registry.collection"
    gateway.host.run(f"mkdir -p {images} && touch {images}/since /etc/homelab-registry/metrics/timer-run")
    monitoring = gateway.deployment.store.folder / "monitoring"
    promtool("check", "config", monitoring / "prometheus.yml")
    check_access(gateway)
    check_guesser(gateway, rotate=rotate)
    pull()
    target = {"scrape_interval": "1s", "static_configs": [{"targets": [f"{gateway.address}:443"]}]}
    trust = {"ca_file": str(monitoring / "ca.crt"), "server_name": NAME}
    login = {"username": ACCOUNT, "password_file": str(monitoring / "metrics.password")}
    with prometheus(
        monitoring, folder, scrape={**target, "tls_config": trust, "basic_auth": login}
    ) as running:
        check_alert(gateway, running)
        check_dashboard(running, monitoring / "dashboard.json")


def check_run(gateway: Gateway) -> None:
    """Check that a run without changes notes itself by the commands that read, and that a plan notes nothing."""

    def noted() -> str:
        return gateway.host.run("stat -c %y /etc/homelab-registry/metrics/run").stdout

    first, name = noted(), f"@docker/{gateway.host.name}"
    plan = gateway.deployment.plan()
    assert (plan.steps, noted()) == ([], first)
    ran = gateway.deployment.run()
    assert ran.steps == []
    assert noted() > first
    assert len(ran.commands_on(name)) == len(plan.commands_on(name))


def text(gateway: Gateway) -> str:
    """Return what the gateway answers Prometheus."""
    password = (gateway.deployment.store.folder / "accounts/metrics.password").read_text().strip()
    answer = gateway.request("GET", "/metrics", basic(ACCOUNT, password))
    assert (answer.status, answer.header("content-type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return answer.body.decode()


def check_access(gateway: Gateway) -> None:
    """Check that its account alone reads the metrics, and reads nothing else."""
    told = text(gateway)
    promtool("check", "metrics", stdin=told)
    password = (gateway.deployment.store.folder / "accounts/metrics.password").read_text().strip()
    reader = basic(ACCOUNT, password)
    for role in ACCOUNTS:
        assert gateway.request("GET", "/metrics", gateway.authorization(role)).status == 403, role
    for unknown in (None, basic(ACCOUNT, "wrong"), basic("nobody", password), f"Bearer {password}"):
        assert gateway.request("GET", "/metrics", unknown).status == 401, unknown
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        for target in (
            "/v2/",
            "/v2/_catalog",
            "/v2/a/tags/list",
            "/v2/a/manifests/1",
            "/v2/docker.io/a/manifests/1",
            "/web/index.json",
            "/v1/search",
        ):
            assert gateway.request(method, target, reader).status == 403, (method, target)
    assert gateway.request("POST", "/metrics", reader).status == 403
    assert gateway.request("HEAD", "/metrics", reader).status == 200
    for target in ("/metrics/", "/metrics/text"):
        assert gateway.request("GET", target, reader).status == 403, target


def send_hostile(gateway: Gateway, token: str) -> int:
    """Send requests that hold a token; return how many."""
    requests = [*hostile(token)]
    for method, target, authorization in requests:
        assert gateway.request(method, target, authorization).status >= 400
    return len(requests)


def hostile(token: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield requests that hold a token wherever a client can put one."""
    for account in (token, f'x",kind="{token}', f"{token}\n", ACCOUNT, "cluster"):
        for target in (
            f"/v2/{token}/manifests/{token}",
            f"/v2/a/blobs/sha256:{token * 2}",
            f"/metrics?{token}",
            f"/{token}",
        ):
            yield "GET", target, basic(account, token)
    for method in ("POST", token.upper(), "HEAD"):
        yield method, f"/v2/{token}/blobs/uploads/?mount={token}&from={token}", basic(token, token)
    yield "GET", f"/v2/{token}/tags/list?n={token}", None


def check_guesser(gateway: Gateway, *, rotate: bool) -> None:
    """Check that no word of a client gets into the metrics, and that each request is counted.

    With `rotate` nginx gets a new file meanwhile, which the gateway looks for every 20 seconds.
    """
    before = counted(settled(gateway))
    tokens, sent = [secrets.token_hex(16) for _ in range(3)], 0
    for token in tokens:
        sent += send_hostile(gateway, token)
    if rotate:
        gateway.host.run(
            f"yes 'a line that is none' | head -c 4100000 >> $(ls {SHARED}/requests.* | tail -n 1)"
        )
        end = time.monotonic() + 60
        while gateway.host.run(f"ls {SHARED}/requests.*.2", check=False).exit_code:
            assert time.monotonic() < end
            sent += send_hostile(gateway, tokens[0])
        sent += send_hostile(gateway, tokens[1])
    end = time.monotonic() + 30
    while counted(told := text(gateway)) < before + sent and time.monotonic() < end:
        time.sleep(0.5)
    assert counted(told) == before + sent
    assert not [token for token in tokens if token in told.lower()]
    found = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', told)
    assert {name for name, _ in found} <= set(LABELS)
    assert not [pair for pair in found if not re.fullmatch(LABELS[pair[0]], pair[1])]


def counted(told: str) -> int:
    """Return how many requests were counted, without those that were answered with the metrics."""
    lines = re.findall(r"^homelab_registry_requests_total\{(.*)\} (\S+)$", told, re.MULTILINE)
    return sum(
        int(float(value))
        for labels, value in lines
        if not ('kind="metrics"' in labels and 'code="200"' in labels)
    )


def settled(gateway: Gateway) -> str:
    """Return a text in which all is that was sent until now: it is written every ten seconds, lines every second."""
    now, end = float(gateway.host.run("date +%s").stdout), time.monotonic() + 30
    while time.monotonic() < end:
        told = text(gateway)
        written = re.search(r"^homelab_registry_written_timestamp_seconds (\d+)$", told, re.MULTILINE)
        if written and int(written[1]) > now + 2:
            return told
        time.sleep(0.5)
    raise AssertionError("the metrics are not written any more")


def check_alert(gateway: Gateway, running: Prometheus) -> None:
    """Check that fifty wrong passwords raise their alert, and no other."""
    end = time.monotonic() + 20
    while not running.query("homelab_registry_refused_logins_total") and time.monotonic() < end:
        time.sleep(0.2)
    assert [each["value"][1] for each in running.query('up{job="homelab-registry"}')] == ["1"]
    running.wait_for({})
    for guess in range(50):
        assert gateway.request("GET", "/v2/", basic(ACCOUNTS["admin"], f"guess {guess}")).status == 401
    running.wait_for({f"{gateway.address}:443": {"RegistryRefusedLogins"}}, 60)


def check_dashboard(running: Prometheus, path: Path) -> None:
    """Check that Prometheus answers each query of the dashboard, with something."""
    dashboard = json.loads(path.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 20
    empty = []
    for query in queries:
        asked = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
        if not running.query(asked):
            empty.append(query)
    # No backup was set up.
    assert empty == [each for each in queries if "last_backup" in each]
    assert running.ask("label/instance/values", **{"match[]": _variable(dashboard)}) == [
        running.query("homelab_registry_written_timestamp_seconds")[0]["metric"]["instance"]
    ]


def _variable(dashboard: dict[str, Any]) -> str:
    """Return the series whose instances the dashboard offers."""
    (query,) = (each["query"] for each in dashboard["templating"]["list"] if each["name"] == "instance")
    found = re.fullmatch(r"label_values\((.*), instance\)", query)
    assert found
    return found[1]
