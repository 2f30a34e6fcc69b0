"""Every key of the settings, with its type and default, and which keys must fit together.

The meaning of each key stands in `inventories/group_data/all.py`, what a value may be in `tasks/model/names.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from tasks.settings.types import (
    Account,
    AccountOrNone,
    Accounts,
    Address,
    CaDays,
    DnsName,
    File,
    GraceDays,
    HostNames,
    Image,
    ImageSource,
    KubeContext,
    LeafDays,
    MaxGuesses,
    MaxRequests,
    Names,
    Namespaces,
    ObjectName,
    ObjectNames,
    OverlapDays,
    Port,
    RenewBefore,
    Runtimes,
    StateFolder,
    StorageFolder,
    Switch,
    TimerInterval,
    Users,
)


def default_state_dir(inventory_stem: str) -> str:
    """Return the folder of an inventory's state, below the project; `inventory_stem` is its file name without `.py`."""
    return f"state/{inventory_stem}"


class _Strict(BaseModel):
    # No coercion: True is no port, "443" no number. An error never repeats its input, which may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class RunWideKeys(_Strict):
    """The keys that have one value for a whole run, each checked by itself."""

    registry_hostname: DnsName = "registry.homelab.local"
    registry_port: Port = 443
    registry_address: Address = None
    registry_manage_hosts_file: Switch = True
    registry_extra_names: Names = ()
    registry_state_dir: StateFolder = default_state_dir("local")
    registry_image_source: ImageSource = "debian"
    registry_image: Image = "docker.io/library/registry:3"
    registry_gateway_image: Image = "docker.io/library/nginx:stable"
    registry_storage_path: StorageFolder = "/var/lib/homelab-registry"
    registry_accounts: Accounts = {"admin": "admin", "ci": "push", "cluster": "pull"}
    registry_delete_enabled: Switch = True
    registry_max_requests: MaxRequests = 512
    registry_max_guesses: MaxGuesses = 2
    registry_leaf_days: LeafDays = 397
    registry_ca_days: CaDays = 3650
    registry_renew_before_days: RenewBefore = None
    registry_login_account: Account = "cluster"
    registry_pull_secret_account: Account = "cluster"  # noqa: S105
    registry_pull_secret_name: ObjectName = "registry-credentials"  # noqa: S105
    registry_pull_secret_namespaces: Namespaces = ("default",)
    registry_patch_service_accounts: ObjectNames = ("default",)
    registry_kubeconfig: File = None
    registry_kube_context: KubeContext = None
    registry_ca_overlap_days: OverlapDays = 30
    registry_password_grace_days: GraceDays = 0
    registry_rotate_account: AccountOrNone = None
    registry_excused_hosts: HostNames = ()
    registry_timer: TimerInterval = "weekly"
    registry_timer_program: File = None


class HostSettings(_Strict):
    """The keys that each host may have a value of its own for."""

    registry_login_users: Users = ()
    registry_runtime: Runtimes = None
    registry_node_login: Switch = False
    registry_system_trust: Switch = False


_AGREEMENTS: tuple[tuple[str, str, Callable[[Any, Any], bool], str], ...] = (
    ("registry_leaf_days", "registry_ca_days", operator.le, "at most"),
    ("registry_renew_before_days", "registry_leaf_days", lambda x, leaf: x is None or x < leaf, "less than"),
    ("registry_login_account", "registry_accounts", lambda x, accounts: x in accounts, "one of"),
    ("registry_pull_secret_account", "registry_accounts", lambda x, accounts: x in accounts, "one of"),
    (
        "registry_rotate_account",
        "registry_accounts",
        lambda x, accounts: x is None or x in accounts,
        "one of",
    ),
    ("registry_extra_names", "registry_hostname", lambda extra, x: x not in extra, "names other than"),
)
"""Which two keys must fit together, when they do, and how the first is to be to the second."""


def disagreements(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (key, relation, other key) of each two in `values` that do not fit: key is to be `relation` other key."""
    for key, other, agree, relation in _AGREEMENTS:
        if key in values and other in values and not agree(values[key], values[other]):
            yield key, relation, other


class Settings(RunWideKeys):
    """The settings of a run, which fit together; `pydantic.ValidationError` (a `ValueError`) where they do not."""

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        for key, relation, other in disagreements(vars(self)):
            raise ValueError(f"{key}: allowed is {relation} {other}")
        return self

    @property
    def server_names(self) -> tuple[str, ...]:
        """All names and addresses that clients use, the hostname first."""
        return (self.registry_hostname, *self.registry_extra_names)

    @property
    def endpoint(self) -> str:
        """The hostname, with the port if it is not HTTPS's default."""
        return self.endpoints[0]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The same for each of `server_names`; an IPv6 address is in brackets (RFC 3986, section 3.2.2)."""
        port = "" if self.registry_port == 443 else f":{self.registry_port}"
        return tuple((f"[{name}]" if ":" in name else name) + port for name in self.server_names)

    @property
    def renew_before_days(self) -> int:
        """How many days before its end the leaf is renewed: as set, or a third of its life, at least 1."""
        if self.registry_renew_before_days is not None:
            return self.registry_renew_before_days
        return max(1, self.registry_leaf_days // 3)
