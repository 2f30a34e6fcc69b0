"""Replace the leaf again and again while clients connect, each with a handshake of its own."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import threading
from collections import Counter

from tasks.certificates import ca
from tasks.registry import leaf
from tasks.registry.containers import UID
from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment
from tests.gateway.gateway import NAME

CLIENTS = 6
LINK = f"/etc/homelab-registry/{leaf.LINK}"


def replacing_script(deployment: Deployment, address: str, count: int) -> str:
    """Return the shell script that carries out the run's own step for `count` new leaves and then the present one; it prints each that fails."""
    state = deployment.store.read()
    assert state.authority
    assert state.leaf
    now, lines = dt.datetime.now(dt.UTC), []
    leaves = [ca.make_leaf(state.authority, [NAME, address], 30, now) for _ in range(count)]
    for made in [*leaves, state.leaf]:
        new = leaf.file("/etc/homelab-registry", made.certificate_pem, made.key_pem, UID)
        (step,) = leaf.steps(LINK, new, {LINK: None}, "")
        lines.append(f"( {step.script}\n) <<'END' || echo failed\n{step.stdin}\nEND\n")
    return "".join(lines) + "echo replaced all\n"


def connect_meanwhile(host: BenchHost, deployment: Deployment, script: str) -> Counter[str]:
    """Connect for as long as the script runs on the host, without session reuse; return the outcomes, counted."""
    address, ended, outcomes = host.address, threading.Event(), Counter[str]()
    trust = ssl.create_default_context(cafile=deployment.store.folder / "ca.crt")

    def connect() -> None:
        mine = Counter[str]()
        while not ended.is_set():
            try:
                with socket.create_connection((address, 443), timeout=30) as plain:
                    trust.wrap_socket(plain, server_hostname=NAME).close()
                mine["connected"] += 1
            except OSError as error:
                mine[str(error)] += 1
        outcomes.update(mine)

    clients = [threading.Thread(target=connect) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        done = subprocess.run(
            ["docker", "exec", "-i", host.name, "sh"],
            input=script,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "replaced all\n", done
    finally:
        ended.set()
        for client in clients:
            client.join()
    return outcomes
