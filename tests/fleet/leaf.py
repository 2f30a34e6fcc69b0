"""Fingerprints of the leaf in the state and of the leaf that the gateway serves."""

from __future__ import annotations

import subprocess

from tasks.registry import leaf
from tasks.registry.containers import UID
from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment
from tests.gateway.gateway import NAME


def path_on_host(deployment: Deployment) -> str:
    """Return the path of the leaf's file on the registry host."""
    state = deployment.store.read()
    assert state.leaf
    assert state.authority
    return leaf.file("/etc/homelab-registry", state.leaf.certificate_pem, "", UID).path


def fingerprint_in_state(deployment: Deployment) -> str:
    """Return the SHA-256 fingerprint of the leaf in the state, in openssl's format."""
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
    """Return the same for the served leaf, from a handshake that trusts only our CA."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host.address}:443", "-servername", NAME, "-verify_return_error",
         "-verify_hostname", NAME, "-CAfile", str(deployment.store.ca_bundle_path)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    read = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    return subprocess.run(read, input=shown, capture_output=True, text=True, check=True).stdout.strip()
