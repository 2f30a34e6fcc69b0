"""The address that clients reach the registry by, if `registry_address` does not say it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.certificates.name_constraints import parse_address
from tasks.remote.fact_scripts import Answer
from tasks.remote.steps import Conflict

NOT_ETHERNET = frozenset({"512", "768", "769", "776", "778", "823", "65534", "tun"})
"""Types of an interface that is a tunnel (linux/if_arp.h): PPP, IP in IP, SIT, GRE, and none, as WireGuard's and
Tailscale's; `tun` is one made by a program (TUN and TAP, as OpenVPN's and ZeroTier's)."""

ENGINES = ("docker", "br-", "virbr", "cni", "podman", "flannel", "veth")
"""How the names of bridges begin that engines make for their containers: nobody else reaches an address there."""

LOOK = r"""
# A host without iproute2 gets it with the engine; until then its first address has to do.
if command -v ip >/dev/null; then
    route=$(ip -4 route get 192.0.2.1 2>/dev/null)
    case $route in (*' src '*) ;; (*) route=$(ip -6 route get 2001:db8::1 2>/dev/null) ;; esac
    printf '%s\n' "$route" | sed -n 's/.* dev \([^ ]*\).* src \([0-9a-f.:]*\).*/route|\1|\2/p' | head -n 1
    ip -o address show scope global | sed -n 's/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^ /]*\).*/has|\1|\2/p'
    for path in /sys/class/net/*/type; do
        read -r kind < "$path" || continue
        [ ! -e "${path%type}tun_flags" ] || kind=tun
        path=${path%/type}
        echo "interface|${path##*/}|$kind"
    done
else
    for each in $(hostname -I 2>/dev/null); do echo "has||$each"; done
fi
"""
"""The script that prints the default route's interface and source, all addresses, and the type of each interface."""


@dataclass(frozen=True)
class Addresses:
    """A host's addresses: `default` is (interface, source) of its default route, `held` all with their interfaces.

    `private` has the interfaces whose addresses the network's other hosts do not reach: tunnels and engines' bridges.
    """

    default: tuple[str, str] | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    private: frozenset[str] = frozenset()


def read_addresses(answer: Answer) -> Addresses:
    """Return the addresses that a host reports; `ValueError` if one is no address."""
    held = {str(ipaddress.ip_address(address)): interface for interface, address in answer.all("has")}
    routes = [(interface, str(ipaddress.ip_address(source))) for interface, source in answer.all("route")]
    if not routes and "" in held.values():
        routes = [("", next(iter(held)))]
    interfaces = answer.all("interface")
    private = {name for name, kind in interfaces if kind in NOT_ETHERNET or name.startswith(ENGINES)}
    return Addresses(routes[0] if routes else None, held, frozenset(private))


def told(server_names: Iterable[str], extra_names: Iterable[str]) -> list[str]:
    """Return the addresses that clients were told, by the names in the registry's certificate."""
    return [name for name in server_names if parse_address(name) and name not in extra_names]


def elsewhere(address: str | None, found: Addresses) -> str | None:
    """Return the addresses that a host has, if `registry_address` is none of them; None also if it could not tell.

    It may be right all the same: of a router that forwards the port, or one that moves between hosts.
    """
    if address is None or not found.held or address in found.held:
        return None
    reached = [each for each, interface in found.held.items() if interface not in found.private]
    return ", ".join(reached or found.held)


def choose(found: Addresses, last: Iterable[str]) -> str:
    """Return the registry's address: the end of `last` if the host still has it, else its default route's.

    `Conflict` if there is no default route, or if it goes through a tunnel and no one address is left.
    """
    kept = [address for address in last if address in found.held]
    if kept:
        return kept[
            -1
        ]  # before it are addresses that were extra names once: see RegistryContext.server_names
    if found.default is None:
        raise Conflict(
            "its address is unknown, since it has no default route", "set registry_address and run again"
        )
    interface, source = found.default
    if interface not in found.private:
        return source
    others = [
        address
        for address, name in found.held.items()
        if name not in found.private and ipaddress.ip_address(address).version == 4
    ]
    if len(others) == 1:
        return others[0]
    raise Conflict(
        f"its default route goes through {interface}, which others of its network do not reach",
        f"set registry_address ({' or '.join(others) or 'the address that its clients reach'}) and run again",
    )
