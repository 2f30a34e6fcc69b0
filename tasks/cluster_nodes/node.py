"""A node as it is, and what it is to have: what its runtimes' plans compare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tasks.accounts.logins import Login
from tasks.clients.mirrors import Mirror
from tasks.clients.plan import ClientHost
from tasks.clients.proxies import ProxySettings
from tasks.clients.system_trust import Family
from tasks.remote.files import Observed


@dataclass(frozen=True)
class Node:
    """A node as it is.

    `runtimes` are the names of those that it has, `started` is the start of each running systemd unit in seconds since
    1970; `failing` are those that systemd cannot start, or starts just now. `containerd_config` is the main file that
    containerd reads, `containerd_socket` where it listens if its command line says so, `containerd_default` the
    configuration version of its default, if there is no main file. `data` are the data folders of K3s and of RKE2.
    `paths` and `texts` are all files and folders that were looked at, by path. `requiring_containerd` are the units
    that systemd restarts with containerd's. `proxies` are the proxy settings of units in `started` that have some.
    `through` is what K3s, RKE2 and the `kubelet` are told to pull through.
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
    proxies: Mapping[str, ProxySettings] = field(default_factory=dict)
    failing: Collection[str] = frozenset()
    containerd_socket: str = ""
    containerd_default: int = 0
    through: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeTarget:
    """What a node is to have.

    `runtimes` are the names of those to serve, `login` is the account that the node pulls with by itself, None if it
    does not. A node that `is_docker_host` too gets as that what every client host gets. `trusting` is the family whose
    trust store gets the CA as well, None for none. `mirror` are the caches that it pulls through, None for none.
    """

    ca_pem: str
    address: str
    runtimes: Collection[str]
    login: Login | None = None
    is_docker_host: bool = False
    trusting: Family | None = None
    mirror: Mirror | None = None
