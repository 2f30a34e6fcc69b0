"""Which nodes of a cluster are in no inventory: pods that start there cannot pull (kubernetes#68596)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def nodes_not_in_inventory(nodes: Mapping[str, frozenset[str]], known: Iterable[str]) -> list[str]:
    """Return the nodes of which neither name nor address is `known`; `nodes` has all names of each, its own included.

    A short name and the same one with a domain are one.
    """
    names = {each.lower() for each in known}
    names |= {_short(each) for each in names}
    return [
        node
        for node, own in nodes.items()
        if not names & {each.lower() for each in own} | (names & {_short(each.lower()) for each in own})
    ]


def _short(name: str) -> str:
    """Return a name without its domain; an address as it is."""
    return name if name.replace(".", "").isdigit() or ":" in name else name.partition(".")[0]
