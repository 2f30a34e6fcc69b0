"""A CA's name constraints: which names and addresses it may issue certificates for (RFC 5280, section 4.2.1.10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from cryptography import x509

PRIVATE_NETWORKS = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598; in homelabs, the addresses of overlay networks
    "127.0.0.0/8", "::1/128", "fc00::/7",  # RFC 1122, RFC 4291, RFC 4193
)  # fmt: skip

PRIVATE_TOP_LEVEL_DOMAINS = frozenset(
    {"corp", "home", "internal", "intranet", "lan", "local", "localdomain", "private", "test"}
)
"""Top-level domains that nobody can register (RFC 6762 appendix G, ICANN 2024-07-29, RFC 6761)."""


def permitted_subtrees(names: Iterable[str]) -> list[x509.GeneralName]:
    """Return what a CA made for `names` permits: their domains, their addresses, and all private networks."""
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
        ipaddress.ip_network(network) for network in PRIVATE_NETWORKS
    ]
    domains: list[str] = []
    for name in names:
        if (address := parse_address(name)) is None:
            domains.append(permitted_domain(name))
        elif not any(address in network for network in networks):
            networks.append(ipaddress.ip_network(address))
    return [*map(x509.DNSName, dict.fromkeys(domains)), *map(x509.IPAddress, networks)]


def not_permitted(authority: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the CA's name constraints do not permit."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    subtrees = constraints.permitted_subtrees or []
    return [name for name in names if not any(_permits(subtree, name) for subtree in subtrees)]


def permitted_domain(name: str) -> str:
    """Return the domain that a CA made for `name` permits.

    It is the parent domain, or `name` itself if anyone could register a name below the parent.
    """
    parent = name.partition(".")[2]
    return parent if "." in parent or parent in PRIVATE_TOP_LEVEL_DOMAINS else name


def parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `name` as an IP address, or None if it is a DNS name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _permits(subtree: x509.GeneralName, name: str) -> bool:
    address = parse_address(name)
    if isinstance(subtree, x509.IPAddress):
        network = ipaddress.ip_network(subtree.value)
        return address is not None and address in network
    return address is None and (name == subtree.value or name.endswith(f".{subtree.value}"))
