"""A node as it is, and what it is to have: what its runtimes' plans compare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tasks.accounts.logins import Login
from tasks.clients.plan import ClientHost
from tasks.clients.system_trust import Family
from tasks.remote.files import Observed


@dataclass(frozen=True)
class Node:
    """A node as it is.

    `runtimes` are those that were found, by name, `started` when each unit of systemd that runs was started (seconds
    since 1970). `containerd_config` is the main file that containerd reads, `data` the data folder of K3s and of RKE2.
    `paths` and `texts` are the files and folders that were looked at, by path. `requiring_containerd` are the units
    that are restarted with containerd's.
    """

    runtimes: Collection[str] = frozenset()
    started: Mapping[str, float] = field(default_factory=dict)
    containerd_version: str = ""
    containerd_config: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, Observed | None] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    client: ClientHost = field(default_factory=ClientHost)
    requiring_containerd: Collection[str] = frozenset()


@dataclass(frozen=True)
class NodeTarget:
    """What a node is to have.

    `runtimes` are the names of those to serve, `login` the account that the node pulls with by itself, None if it does
    not. `named_elsewhere` says that it is a Docker host too, and gets what every client host gets as that. `trusting`
    is whose trust store gets the CA as well, None for none.
    """

    ca_pem: str
    address: str
    runtimes: Collection[str]
    login: Login | None = None
    named_elsewhere: bool = False
    trusting: Family | None = None
