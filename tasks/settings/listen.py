"""Where the gateway's port is open on the registry host.

Docker hands a connection over IPv6 to a container in an IPv4 network through its proxy: the gateway would see one
address for all such clients, and limit and log them as one (moby#17666). So the port is open on IPv6 only if clients
are told to use it.
"""

from __future__ import annotations

from collections.abc import Iterable

ALL_IPV4 = "0.0.0.0"  # noqa: S104
ALL = ""
HIDDEN = (
    "clients that come over IPv6 all have one address here, that of Docker's bridge: one of them that guesses "
    "passwords or sends too much slows the others, and the log does not tell them apart; prefer an IPv4 address for "
    "the registry"
)
"""What a run says if the port is open on IPv6."""


def address(setting: str | None, names: Iterable[str]) -> str:
    """Return the address to publish the port on, by the setting and by the names that clients use; "" for all."""
    if setting is not None:
        return setting
    return ALL if any(":" in name for name in names) else ALL_IPV4


def local(listen: str) -> str:
    """Return the address at which the host itself reaches the port, as in a URL."""
    return bracketed(listen) if listen not in {ALL, ALL_IPV4} else "127.0.0.1"


def bracketed(listen: str) -> str:
    """Return an address as it stands before a port (RFC 3986, section 3.2.2)."""
    return f"[{listen}]" if ":" in listen else listen


def is_ipv6(listen: str) -> bool:
    """Return whether clients may come over IPv6."""
    return listen == ALL or ":" in listen


def elsewhere(setting: str | None) -> str:
    """Return what to add to a filter of ss(8) so that it leaves out programs that listen on other addresses alone."""
    if setting is None:
        return ""
    own = (bracketed(setting), "0.0.0.0", "[::]")  # noqa: S104
    return " and ( " + " or ".join(f"src {each}" for each in own) + " )"
