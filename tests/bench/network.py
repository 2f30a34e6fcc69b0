"""The network that all hosts of the bench share."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path

import docker
from docker.models.networks import Network

from tests.bench.cache import locked
from tests.bench.leftovers import LABEL, this_machine

NAME = "homelab-bench"
# Outside Docker's own address pools, which the engines inside the hosts use.
CANDIDATES = tuple(IPv4Network(f"10.{second}.113.0/24") for second in (231, 197, 163, 129, 95, 61, 27))


def network(client: docker.DockerClient) -> Network:
    """Return the network; create it if it is missing. It stays until `python -m tests.bench down`."""
    with locked("network"):
        for found in client.networks.list(names=[NAME]):
            if found.name == NAME:
                if LABEL not in (found.attrs["Labels"] or {}):
                    raise RuntimeError(f"the Docker network {NAME} is there, but not the bench's own")
                return found
        chosen = free_subnet(_taken(client))
        # Docker assigns addresses from the upper half; the lower half is for tests with fixed addresses.
        upper = list(chosen.subnets())[1]
        pool = docker.types.IPAMPool(subnet=str(chosen), iprange=str(upper), gateway=str(chosen[1]))
        return client.networks.create(
            NAME,
            driver="bridge",
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            check_duplicate=True,
            labels={LABEL: this_machine()},
        )


def fixed_address(client: docker.DockerClient, number: int) -> str:
    """Return an address of the network that Docker does not assign by itself; `number` is 2 to 126."""
    if not 2 <= number <= 126:
        raise ValueError(f"{number} is not between 2 and 126")
    (pool,) = network(client).attrs["IPAM"]["Config"]
    return str(IPv4Network(pool["Subnet"])[number])


def free_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the first candidate that overlaps with no subnet in use."""
    taken = list(taken)
    for candidate in CANDIDATES:
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise RuntimeError("every subnet that the bench would take is in use on this machine")


def _taken(client: docker.DockerClient) -> list[IPv4Network]:
    """Return the targets of this machine's routes, except the default route, and the subnets of Docker's networks."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (_dotted(fields[index]) for index in (1, 7))
        found.append(IPv4Network(f"{destination}/{mask}"))
    for each in client.networks.list():
        for pool in each.attrs["IPAM"]["Config"] or []:
            subnet = ipaddress.ip_network(pool["Subnet"])
            if isinstance(subnet, IPv4Network):
                found.append(subnet)
    return [subnet for subnet in found if subnet.prefixlen > 0]


def _dotted(field: str) -> str:
    """Parse an address in the format of /proc/net/route: hexadecimal, in the machine's byte order."""
    return socket.inet_ntoa(struct.pack("=L", int(field, 16)))
