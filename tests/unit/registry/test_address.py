"""Which address clients get, and that what a host reports as one is one."""

from __future__ import annotations

import pytest

from tasks.registry.address import Addresses, choose, elsewhere, read_addresses
from tasks.remote.fact_scripts import read_answer
from tasks.remote.steps import Conflict

LAN = {"192.168.1.10": "eth0", "172.17.0.1": "docker0", "fd00::10": "eth0"}
PRIVATE = frozenset({"docker0", "wg0", "tun0"})
AT_HOME = Addresses(("eth0", "192.168.1.10"), LAN, PRIVATE)
IN_A_VPN = Addresses(("wg0", "10.8.0.2"), {**LAN, "10.8.0.2": "wg0"}, PRIVATE)
NEW_LEASE = Addresses(("eth0", "192.168.1.77"), {"192.168.1.77": "eth0"}, PRIVATE)
TWO = Addresses(("eth0", "192.168.1.10"), {**LAN, "192.168.2.10": "eth1"}, PRIVATE)


@pytest.mark.parametrize(
    ("found", "last", "chosen"),
    [
        (AT_HOME, [], "192.168.1.10"),
        (AT_HOME, ["192.168.1.10"], "192.168.1.10"),
        (IN_A_VPN, ["192.168.1.10"], "192.168.1.10"),
        (IN_A_VPN, [], "192.168.1.10"),
        (IN_A_VPN, ["10.8.0.2"], "10.8.0.2"),  # clients know it, so it stays
        (NEW_LEASE, ["192.168.1.10"], "192.168.1.77"),
        (TWO, ["192.168.2.10"], "192.168.2.10"),
        (TWO, ["192.168.9.9", "192.168.2.10"], "192.168.2.10"),
        (
            TWO,
            ["192.168.2.10", "192.168.1.10"],
            "192.168.1.10",
        ),  # the first was an extra name, and is none now
        (Addresses(None, LAN), ["192.168.1.10"], "192.168.1.10"),  # the router is off
        (Addresses(("eth0", "fd00::10"), {"fd00::10": "eth0"}), [], "fd00::10"),
    ],
)
def test_the_address_that_clients_get(found: Addresses, last: list[str], chosen: str) -> None:
    assert choose(found, last) == chosen


@pytest.mark.parametrize(
    ("found", "problem", "remedy"),
    [
        (Addresses(), "its address is unknown, since it has no default route", "set registry_address and run again"),
        (
            Addresses(("wg0", "10.8.0.2"), {**LAN, "192.168.2.10": "eth1", "10.8.0.2": "wg0"}, PRIVATE),
            "its default route goes through wg0, which others of its network do not reach",
            "set registry_address (192.168.1.10 or 192.168.2.10) and run again",
        ),
        (
            Addresses(("tun0", "10.8.0.2"), {"10.8.0.2": "tun0"}, PRIVATE),
            "its default route goes through tun0, which others of its network do not reach",
            "set registry_address (the address that its clients reach) and run again",
        ),
    ],
)  # fmt: skip
def test_without_an_address_of_the_network_the_run_stops(found: Addresses, problem: str, remedy: str) -> None:
    with pytest.raises(Conflict) as stop:
        choose(found, [])
    assert (stop.value.problem, stop.value.remedy) == (problem, remedy)


@pytest.mark.parametrize(
    ("address", "found", "held"),
    [
        (None, AT_HOME, None),
        ("192.168.1.10", AT_HOME, None),
        ("fd00::10", AT_HOME, None),
        ("192.0.2.10", Addresses(), None),  # unknown is not absent
        ("192.0.2.10", AT_HOME, "192.168.1.10, fd00::10"),
        ("192.0.2.10", TWO, "192.168.1.10, fd00::10, 192.168.2.10"),
        ("192.0.2.10", Addresses(None, {"172.17.0.1": "docker0"}, PRIVATE), "172.17.0.1"),
    ],
)
def test_an_address_that_is_none_of_the_host_s_is_seen(
    address: str | None, found: Addresses, held: str | None
) -> None:
    assert elsewhere(address, found) == held


def read(*lines: str) -> Addresses:
    return read_addresses(read_answer([*lines, "end"]))


def test_tunnels_and_the_bridges_of_engines_are_known_by_type_and_name() -> None:
    kinds = {
        "eth0": "1", "wlan0": "1", "br0": "1", "vmbr0": "1", "ib0": "32", "bond0": "1", "enp3s0.20": "1",
        "docker0": "1", "br-0a1b2c3d4e5f": "1", "virbr0": "1", "cni0": "1", "wg0": "65534", "tailscale0": "65534",
        "ppp0": "512", "zt7nnig26": "tun", "tap0": "tun", "sit0": "776", "gre0": "778",
    }  # fmt: skip
    found = read(*(f"interface|{name}|{kind}" for name, kind in kinds.items()))
    assert set(kinds) - found.private == {"eth0", "wlan0", "br0", "vmbr0", "ib0", "bond0", "enp3s0.20"}


def test_a_host_without_iproute2_has_its_first_address() -> None:
    assert choose(read("has||192.168.1.10", "has||172.17.0.1"), []) == "192.168.1.10"


@pytest.mark.parametrize(
    "line",
    [
        "route|eth0|6.6.6.6 updates.example",
        "has|eth0|6.6.6.6 updates.example",
        "has|eth0|6.6.6.6\tupdates.example",
        "has|eth0|registry.example",
        "has|eth0|",
        "has|eth0|10.0.0.1/24",
        "has|eth0|10.0.0.1|x",
        "route|eth0|010.0.0.1",
    ],
)
def test_what_is_no_address_is_none(line: str) -> None:
    with pytest.raises(ValueError, match=r"address|unpack"):
        read("has|eth0|192.168.1.10", line)
