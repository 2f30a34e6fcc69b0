"""How the verification reads the answers of the cluster's DNS."""

from __future__ import annotations

import socket

import pytest

from tests.verify.cluster_dns import addresses, servers

QUESTION = b"\x08registry\x07homelab\x05local\x00\x00\x01\x00\x01"
POINTER = b"\xc0\x0c"


def answer(*records: bytes, questions: int = 1) -> bytes:
    header = b"\x00\x01\x81\x80" + bytes([0, questions, 0, len(records), 0, 0, 0, 0])
    return header + QUESTION * questions + b"".join(records)


def record(kind: int, data: bytes, name: bytes = POINTER) -> bytes:
    return name + bytes([0, kind, 0, 1, 0, 0, 0, 30, 0, len(data)]) + data


A = record(1, bytes([192, 168, 1, 10]))
ALIAS = record(5, b"\x03nas\xc0\x15")
AAAA = record(28, socket.inet_pton(socket.AF_INET6, "fd00::1"))


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (answer(), 1, []),
        (answer(A), 1, ["192.168.1.10"]),
        (answer(A, A), 1, ["192.168.1.10"] * 2),
        (answer(ALIAS, record(1, bytes([10, 0, 0, 4]), b"\x03nas\xc0\x15")), 1, ["10.0.0.4"]),
        (answer(AAAA), 28, ["fd00::1"]),
        (answer(AAAA, A), 1, ["192.168.1.10"]),
        (answer(record(1, bytes([10, 0, 0, 4]), b"\x00"), questions=0), 1, ["10.0.0.4"]),
    ],
)
def test_addresses_in_an_answer(text: bytes, kind: int, expected: list[str]) -> None:
    assert addresses(text, kind) == expected


def test_servers_are_those_that_answer_over_udp() -> None:
    ports = [{"protocol": "TCP", "port": 53}, {"protocol": "UDP", "port": 5353}]
    endpoints = [{"addresses": ["10.42.0.5"]}, {"addresses": ["10.42.1.6", "x"]}]
    listed = {"items": [{"ports": ports, "endpoints": endpoints}, {"ports": None, "endpoints": None}]}
    assert list(servers(listed)) == [("10.42.0.5", 5353), ("10.42.1.6", 5353)]
