"""The leaf: the one that the state has, and the one that a handshake shows."""

from __future__ import annotations

import subprocess

from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment
from tests.gateway.gateway import NAME


def fingerprint_in_state(deployment: Deployment) -> str:
    """Return the fingerprint of the leaf that the state has, as openssl reads it."""
    command = [
        "openssl",
        "x509",
        "-noout",
        "-fingerprint",
        "-sha256",
        "-in",
        str(deployment.store.folder / "leaf.pem"),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def served_fingerprint(host: BenchHost, deployment: Deployment) -> str:
    """Return that of the leaf that is served, after a handshake from this machine which trusts our CA alone."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host.address}:443", "-servername", NAME, "-verify_return_error",
         "-verify_hostname", NAME, "-CAfile", str(deployment.store.ca_bundle_path)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    read = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    return subprocess.run(read, input=shown, capture_output=True, text=True, check=True).stdout.strip()
