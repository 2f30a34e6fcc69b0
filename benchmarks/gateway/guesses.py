"""How long a refusal takes: of an unknown account, and of a known account with a wrong password."""

from __future__ import annotations

import ssl
import time
from http.client import HTTPSConnection
from statistics import median

from tasks.accounts.passwords import generate
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic

UNKNOWN_ACCOUNT = "nobody"


def medians(gateway: Gateway, count: int) -> dict[str, float]:
    """Return the median in ms of each kind, sent in turns over one connection.

    Raise `RuntimeError` if one is answered with anything but 401.
    """
    taken: dict[str, list[float]] = {"unknown": [], "wrong": []}
    with gateway.connect() as tls:
        connection = HTTPSConnection(NAME, context=ssl.create_default_context(cafile=gateway.ca))
        connection.sock = tls
        for turn in range(count + 10):
            for kind, account in (("unknown", UNKNOWN_ACCOUNT), ("wrong", ACCOUNTS["push"])):
                authorization = basic(account, generate())
                begun = time.perf_counter()
                connection.request("GET", "/v2/", headers={"Authorization": authorization})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 401:
                    raise RuntimeError(f"{kind}: {answer.status}")
                if turn >= 10:
                    taken[kind].append((time.perf_counter() - begun) * 1000)
    return {kind: median(values) for kind, values in taken.items()}
