"""The certificate, by TLS handshakes from this machine: valid with our CA, and refused otherwise."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from dataclasses import dataclass

import certifi
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tasks.certificates import ca, rollover
from tasks.certificates.rollover import Authorities
from tasks.settings.load import Settings
from tasks.state.store import State, Store
from tests.verify.backend import Unreachable
from tests.verify.client import trusting


@dataclass(frozen=True)
class Server:
    """Where the registry listens."""

    address: str
    port: int

    def handshake(self, context: ssl.SSLContext, name: str) -> tuple[str, bytes]:
        """Return the protocol's version and the certificate (DER); `ssl.SSLError` if either side refuses."""
        with (
            socket.create_connection((self.address, self.port), timeout=30) as connection,
            context.wrap_socket(connection, server_hostname=name) as secured,
        ):
            return secured.version() or "", secured.getpeercert(binary_form=True) or b""

    def refusal(self, context: ssl.SSLContext, name: str) -> ssl.SSLError | None:
        """Return why a handshake fails, or None if it succeeds."""
        try:
            self.handshake(context, name)
        except ssl.SSLError as error:
            return error
        except OSError as error:
            raise Unreachable(
                f"{self.address} port {self.port} ends TLS handshakes ({error}); run make deploy"
            ) from None
        return None


def why(error: ssl.SSLError | None) -> str:
    """Return a handshake's failure in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason or str(error) if error else "no error"


@pytest.fixture(scope="module")
def server(address: str, settings: Settings) -> Server:
    try:
        socket.create_connection((address, settings.registry_port), timeout=30).close()
    except OSError as error:
        raise Unreachable(
            f"nothing answers on {address} port {settings.registry_port} ({error}); run make deploy, and open "
            "that port in the registry host's firewall"
        ) from None
    return Server(address, settings.registry_port)


def test_valid_with_our_ca_for_every_name(
    server: Server, settings: Settings, store: Store, address: str, names_to_come: list[str]
) -> None:
    for name in (*settings.server_names, address):
        if name in names_to_come:
            continue
        error = server.refusal(trusting(store.ca_bundle_path.read_text()), name)
        assert error is None, (
            f"the certificate is not valid for {name} with {store.ca_bundle_path} ({why(error)}); run make deploy"
        )


@pytest.mark.parametrize("which", ["present", "latest"])
def test_who_knows_one_ca_alone_connects_when_that_one_serves(
    server: Server, settings: Settings, authorities: Authorities, address: str, which: str
) -> None:
    """During a rollover the old CA works as well, by the chain that is sent; the new one only once it is in use."""
    pair = authorities.present if which == "present" else authorities.latest
    serves = pair is authorities.issuer or bool(authorities.chain)
    for name in authorities.names_for_leaf([*settings.server_names, address]):
        error = server.refusal(trusting(pair.certificate_pem), name)
        assert (error is None) is serves, (
            f"a client that trusts only {pair.certificate.subject.rfc4514_string()} "
            f"{f'cannot connect to {name} ({why(error)})' if error else f'can connect to {name}'}; run make deploy"
        )


def test_refused_without_our_ca(server: Server, settings: Settings) -> None:
    # The public CAs, not this machine's own store: our CA may be in that on purpose.
    public = ssl.create_default_context(cafile=certifi.where())
    error = server.refusal(public, settings.registry_hostname)
    assert isinstance(error, ssl.SSLCertVerificationError), (
        f"a client without our CA does not reject the certificate ({why(error)}); something else answers on "
        f"port {server.port}: stop it and run make deploy"
    )


def test_refused_with_another_ca_of_the_same_name(server: Server, settings: Settings) -> None:
    now = dt.datetime.now(dt.UTC)
    other = ca.make_authority(settings.server_names, 2, now)
    error = server.refusal(trusting(other.certificate_pem), settings.registry_hostname)
    assert isinstance(error, ssl.SSLCertVerificationError), (
        f"a client with another CA of the same name does not reject the certificate ({why(error)}); run make deploy"
    )


def test_refused_for_another_name(server: Server, settings: Settings, store: Store) -> None:
    for name in (f"other.{settings.registry_hostname}", "homelab-verify.invalid", "203.0.113.1"):
        error = server.refusal(trusting(store.ca_bundle_path.read_text()), name)
        assert isinstance(error, ssl.SSLCertVerificationError), (
            f"the certificate is accepted for {name} ({why(error)}), which is not the registry's; run make deploy"
        )
        assert error.verify_code in {
            62,
            64,
        }, (  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            f"the certificate is rejected for {name}, but not for the name ({why(error)}); run make deploy"
        )


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_current_protocols_are_accepted(
    server: Server, settings: Settings, store: Store, version: str
) -> None:
    context = trusting(store.ca_bundle_path.read_text())
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
    error = server.refusal(context, settings.registry_hostname)
    assert error is None, f"{version} is refused ({why(error)}); run make deploy"
    found, _ = server.handshake(context, settings.registry_hostname)
    assert found == version, (
        f"the registry answers with {found} to a client that offers only {version}; run make deploy"
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_protocols_are_refused(server: Server, settings: Settings, store: Store) -> None:
    context = trusting(store.ca_bundle_path.read_text())
    context.set_ciphers("ALL:@SECLEVEL=0")  # otherwise OpenSSL does not even offer it
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    error = server.refusal(context, settings.registry_hostname)
    assert error is not None, "TLS 1.1 is accepted; run make deploy"
    assert "ALERT" in (error.reason or ""), (
        f"whether the registry refuses TLS 1.1 is unknown, since this machine does not offer it ({why(error)}); "
        "run the verification on another machine"
    )


def test_served_certificate_is_the_latest(
    server: Server, settings: Settings, store: Store, state: State
) -> None:
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    _, served = server.handshake(unchecked, settings.registry_hostname)
    assert state.leaf
    latest = state.leaf.certificate.public_bytes(Encoding.DER)
    assert served == latest, (
        f"the registry serves another certificate than the one in {store.folder}/leaf.pem; run make deploy"
    )


def test_certificate_has_days_left(settings: Settings, state: State, authorities: Authorities) -> None:
    assert state.leaf
    end = state.leaf.certificate.not_valid_after_utc
    left = (end - dt.datetime.now(dt.UTC)).days
    remedy = "run make deploy, which renews it"
    if end >= authorities.issuer.certificate.not_valid_after_utc:
        remedy = "the CA itself ends then: run make rotate-ca"
    assert left >= settings.renew_before_days / 3, (
        f"the certificate has {left} days left (until {end:%Y-%m-%d}), and should have been renewed "
        f"{settings.renew_before_days} days before its end; {remedy}"
    )


def test_the_authority_has_days_left(authorities: Authorities) -> None:
    end = authorities.issuer.certificate.not_valid_after_utc
    left = (end - dt.datetime.now(dt.UTC)).days
    assert left > rollover.FAIL_DAYS, (
        f"the certificate authority in use has {left} days left (until {end:%Y-%m-%d}), and every certificate ends "
        f"with it; run make rotate-ca{', which reports what it still waits for' if authorities.successor else ''}"
    )
