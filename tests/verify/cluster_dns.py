"""The cluster's DNS, asked as pods ask it: the node's `/etc/hosts` is of no use to them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from tests.verify.backend import Host
from tests.verify.pods import Kubectl

SELECTOR = "k8s-app=kube-dns"
"""The label of the cluster's DNS, whichever program it is (kubernetes.io, "Customizing DNS Service")."""

# A host of the cluster reaches its pods (kubernetes.io, "Cluster Networking"), and may have no DNS client.
QUERY = """
import socket, struct, sys
server, port, name, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
family = socket.AF_INET6 if ":" in server else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as asking:
    asking.settimeout(3)
    asking.connect((server, port))
    asking.send(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + bytes(1) + struct.pack(">2H", kind, 1))
    print(asking.recv(4096).hex())
"""
KINDS = {4: 1, 6: 28}
"""The types of records with an address (RFC 1035, section 3.2.2; RFC 3596), by the version of IP."""


def resolve(host: Host, kubectl: Kubectl, name: str, version: int) -> list[str] | None:
    """Return the addresses that pods get for a name, None if no DNS server of the cluster can be asked."""
    listed = kubectl.read("get", "endpointslices", "-A", "-l", SELECTOR)
    for server, port in servers(listed):
        done = host.run("python3 -c %s %s %s %s %s", QUERY, server, str(port), name, str(KINDS[version]))
        if done.rc == 0:
            return addresses(bytes.fromhex(done.stdout.strip()), KINDS[version])
    return None


def servers(listed: Any) -> Iterator[tuple[str, int]]:
    """Yield the address and port of each server in kubectl's list of EndpointSlices."""
    for each in listed["items"]:
        for port in each.get("ports") or ():
            if port.get("protocol") == "UDP":
                for endpoint in each.get("endpoints") or ():
                    yield endpoint["addresses"][0], port["port"]


def addresses(answer: bytes, kind: int) -> list[str]:
    """Return the addresses in a DNS server's answer (RFC 1035, section 4.1)."""
    questions, records = (int.from_bytes(answer[at : at + 2], "big") for at in (4, 6))
    at = 12
    for _ in range(questions):
        at = _after_name(answer, at) + 4
    found = []
    for _ in range(records):
        at = _after_name(answer, at)
        of, size = (int.from_bytes(answer[at + skip : at + skip + 2], "big") for skip in (0, 8))
        if of == kind:
            found.append(str(ipaddress.ip_address(answer[at + 10 : at + 10 + size])))
        at += 10 + size
    return found


def _after_name(answer: bytes, at: int) -> int:
    while (length := answer[at]) and length < 0xC0:  # from there on a pointer, the name's end
        at += length + 1
    return at + (2 if length else 1)
