"""What is served, as a handshake shows it."""

from __future__ import annotations

from tasks.registry.desired import Desired
from tasks.remote.steps import Step

ONLY_CERTIFICATES = "sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p'"


def handshake(endpoint: str, server_name: str) -> str:
    """Return the command that prints what is served at an address and port, in PEM: the leaf, then its chain."""
    return (
        f"echo | timeout 10 openssl s_client -connect {endpoint} -servername {server_name} -showcerts "
        f"2>/dev/null | {ONLY_CERTIFICATES}"
    )


def proof(endpoint: str, server_name: str) -> Step:
    """Return the step that asks the gateway for a certificate which is new on the host."""
    return Step(
        "ask the gateway for its certificate: it has a new one",
        f"command -v openssl >/dev/null || exit 0\n{handshake(endpoint, server_name)}\necho asked",
    )


def check_proof(desired: Desired, output: str) -> bool:
    """Return whether the proof could be asked for; `ValueError` if another certificate than `desired` is served."""
    *shown, last = output.split() or [""]
    if last == "asked" and shown != desired.certificate.split():
        raise ValueError(
            f"port {desired.port} {'still serves another one' if shown else 'does not answer to a handshake'}"
        )
    return last == "asked"
