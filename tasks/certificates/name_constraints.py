"""A CA's name constraints: which names and addresses it may issue certificates for (RFC 5280, section 4.2.1.10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache

from cryptography import x509
from publicsuffixlist import PublicSuffixList

PRIVATE_NETWORKS = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598; in homelabs, the addresses of overlay networks
    "127.0.0.0/8", "::1/128", "fc00::/7",  # RFC 1122, RFC 4291, RFC 4193
)  # fmt: skip

PRIVATE_DOMAINS = frozenset(
    {"corp", "home", "home.arpa", "internal", "intranet", "lan", "local", "localdomain", "private", "test"}
)
"""Domains below which nobody can register a name (RFC 6762 appendix G, RFC 8375, ICANN 2024-07-29, RFC 6761)."""

NOBODY = "invalid"
"""The domain that e-mail addresses and URIs have to be in: it never exists (RFC 6761, section 6.4).

An empty excluded subtree would say the same, but OpenSSL 3.0 matches nothing with it. A permitted subtree of a type
excludes all other names of that type (RFC 5280, section 4.2.1.10), and OpenSSL, Go and GnuTLS enforce this one; GnuTLS
3.7 ignores URIs.
"""


def permitted_subtrees(names: Iterable[str]) -> list[x509.GeneralName]:
    """Return what a CA made for `names` permits: their domains, their addresses, and all private networks.

    It permits no e-mail address and no URI.
    """
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
        ipaddress.ip_network(network) for network in PRIVATE_NETWORKS
    ]
    domains: list[str] = []
    for name in names:
        if (address := parse_address(name)) is None:
            domains.append(permitted_domain(name))
        elif not any(address in network for network in networks):
            networks.append(ipaddress.ip_network(address))
    none_of_these = [x509.RFC822Name(NOBODY), x509.UniformResourceIdentifier(NOBODY)]
    return [*map(x509.DNSName, dict.fromkeys(domains)), *map(x509.IPAddress, networks), *none_of_these]


def not_permitted(authority: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the CA's name constraints do not permit."""
    return [name for name in names if not any(_permits(each, name) for each in _subtrees(authority))]


def shared_domains(authority: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Return the domains that the CA permits and in which others can register names; not those among `names`.

    CAs that were made before the public suffix list was looked at may permit such a domain.
    """
    domains = [each.value for each in _subtrees(authority) if isinstance(each, x509.DNSName)]
    return [domain for domain in domains if domain not in set(names) and _is_shared(domain)]


def permitted_domain(name: str) -> str:
    """Return the domain that a CA made for `name` permits.

    It is the parent domain, or `name` itself if others can register names below the parent: `com`, `co.uk`, and
    `duckdns.org` are on the public suffix list (publicsuffix.org), the last in its private section.
    """
    parent = name.partition(".")[2]
    return name if _is_shared(parent) else parent


def parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `name` as an IP address, or None if it is a DNS name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_shared(domain: str) -> bool:
    """Return whether others can register names below a domain."""
    if {domain, domain.rpartition(".")[2]} & PRIVATE_DOMAINS:
        return False
    return _public_suffixes().privatesuffix(domain) is None


@cache
def _public_suffixes() -> PublicSuffixList:
    """Return the list that the library came with; reading it takes 40 ms, so only if it is needed."""
    return PublicSuffixList()


def _subtrees(authority: x509.Certificate) -> list[x509.GeneralName]:
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    return constraints.permitted_subtrees or []


def _permits(subtree: x509.GeneralName, name: str) -> bool:
    address = parse_address(name)
    if isinstance(subtree, x509.IPAddress):
        network = ipaddress.ip_network(subtree.value)
        return address is not None and address in network
    if address or not isinstance(subtree, x509.DNSName):
        return False
    return name == subtree.value or name.endswith(f".{subtree.value}")
