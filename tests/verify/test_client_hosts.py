"""Each host that uses the registry: it resolves the name, has the right time, and trusts the CA if it should."""

from __future__ import annotations

import ipaddress

from tasks.certificates.name_constraints import parse_address
from tasks.settings.load import Settings
from tests.verify.backend import Host, last_line
from tests.verify.deployed import Deployed
from tests.verify.test_space import check_clock


def test_names_lead_to_the_registry(client_host: Host, settings: Settings, address: str) -> None:
    for name in _dns_names(settings):
        found = [ipaddress.ip_address(each) for each in client_host.addr(name).ip_addresses]
        loopback = [str(each) for each in found if (getattr(each, "ipv4_mapped", None) or each).is_loopback]
        assert not loopback, (
            f"{client_host.name}: {name} resolves to the loopback address {loopback[0]}, for which Docker checks no "
            "certificate; remove that line from /etc/hosts there and run make deploy"
        )
        assert ipaddress.ip_address(address) in found, (
            f"{client_host.name}: {name} resolves to {', '.join(map(str, found)) or 'no address'}, not to {address}; "
            "run make deploy, or correct your name server"
        )


def test_its_entry_in_etc_hosts_lasts(client_host: Host, deployed: Deployed) -> None:
    """A container's `/etc/hosts` is its engine's, and nothing on that host could make the entry last."""
    found, lost = deployed.hosts_file(client_host)
    assert lost is None or found.is_engine_s, f"{client_host.name}: {lost}, and run make deploy"


def test_it_knows_the_time(client_host: Host) -> None:
    check_clock(client_host)


def test_the_system_trusts_the_registry(
    trusting_host: Host, settings: Settings, names_to_come: list[str]
) -> None:
    """A handshake with the system's trust store alone, by a program that is installed there."""
    tools = {
        "curl": "env -u CURL_CA_BUNDLE -u SSL_CERT_FILE -u SSL_CERT_DIR curl -q -sS --noproxy '*' -m 60 -o /dev/null %s",
        "openssl": "env -u SSL_CERT_FILE -u SSL_CERT_DIR timeout 60 openssl s_client -connect %s "
        "-servername %s -verify_hostname %s -verify_return_error </dev/null",
    }
    tool = next((each for each in tools if trusting_host.run("command -v %s", each).rc == 0), None)
    assert tool, (
        f"{trusting_host.name}: neither curl nor openssl is installed, so its system trust store cannot be tested; "
        "install one of them and run again"
    )
    for name in _dns_names(settings):
        if name in names_to_come:
            continue
        place = f"{name}:{settings.registry_port}"
        arguments = [f"https://{place}/v2/"] if tool == "curl" else [place, name, name]
        done = trusting_host.run(tools[tool], *arguments)
        assert done.rc == 0, (
            f"{trusting_host.name}: with the system's trust store {tool} rejects {name} ({last_line(done)}); "
            "run make deploy"
        )


def _dns_names(settings: Settings) -> list[str]:
    return [name for name in settings.server_names if parse_address(name) is None]
