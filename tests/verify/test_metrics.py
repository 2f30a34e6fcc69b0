"""The metrics: the account that may read them does, nobody else does, and what they say is of now."""

from __future__ import annotations

import re
import time

from tasks.registry.metrics import NAME
from tasks.settings.load import Settings
from tests.verify.backend import Host
from tests.verify.client import Client
from tests.verify.deployment import Deployment

LATE = 60
"""Seconds after which they should have been written again: it is done every ten."""


def test_its_account_reads_the_metrics_and_nothing_else(
    client: Client, deployment: Deployment, registry: Host, reader: str
) -> None:
    login = deployment.login_as(reader)
    answer = client.request("GET", "/metrics", login)
    assert answer.status_code == 200, f"{reader} gets {answer.status_code} at /metrics; run make deploy"
    written = re.search(r"^homelab_registry_written_timestamp_seconds (\d+)$", answer.text, re.MULTILINE)
    late = time.time() + registry.machine.ahead - int(written[1]) if written else LATE
    assert late < LATE, f"{registry.name}: the metrics are not written any more; see docker logs {NAME} there"
    refused = client.request("GET", "/v2/", login).status_code
    assert refused == 403, f"{reader} gets {refused} at /v2/, not 403; run make deploy"


def test_nobody_else_reads_the_metrics(
    client: Client, deployment: Deployment, settings: Settings, reader: str
) -> None:
    status = client.request("GET", "/metrics", None).status_code
    assert status == 401, f"/metrics answers {status} without a login, not 401; run make deploy"
    for account, role in settings.registry_accounts.items():
        if role != "metrics":
            status = client.request("GET", "/metrics", deployment.login_as(account)).status_code
            assert status == 403, f"{account} gets {status} at /metrics, not 403; run make deploy"
