"""Every key of the settings, with its type, default and meaning, and the relations between keys.

What a value may be is in `types.py`. The meaning of a key is the text below it, in Markdown. It is the source of
`inventories/group_data/all.py` and of the tables in `docs/settings.md`: after a change run
`.venv/bin/python -m tests.settings_reference`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from tasks.settings import listen, sizes
from tasks.settings.caches import PRIVATE, CacheAccounts, Caches, ImageOrNone, Networks, Seconds, Size
from tasks.settings.rules import DaysOrNone, GraceMinutes, Retention, TrashDays
from tasks.settings.types import (
    Account,
    AccountOrNone,
    Accounts,
    Address,
    BackupDays,
    BackupKeep,
    CaDays,
    DateOrNone,
    DnsName,
    DnsNameOrNone,
    File,
    GraceDays,
    HostNames,
    Image,
    ImageSource,
    KubeContext,
    LeafDays,
    LoginUsers,
    MaxGuesses,
    MaxRequests,
    Namespaces,
    ObjectName,
    ObjectNames,
    OverlapDays,
    Percent,
    Port,
    RenewBefore,
    Repository,
    RestoreFrom,
    Runtimes,
    ServerNames,
    SizeOrNone,
    StateFolder,
    StorageFolder,
    Switch,
    TimerInterval,
)


def default_state_dir(inventory_stem: str) -> str:
    """Return the default of `registry_state_dir`; `inventory_stem` is the inventory's file name without `.py`."""
    return f"state/{inventory_stem}"


class _Strict(BaseModel):
    # Strict types: True is not a port, "443" not a number. Errors do not show their input: it may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class RunWideKeys(_Strict):
    """The keys with one value for the whole run, each checked on its own."""

    registry_hostname: DnsName = "registry.homelab.local"
    """The name clients use."""

    registry_port: Port = 443
    """The port clients use. It is part of the image names unless it is 443."""

    registry_address: Address = None
    """IP address of the registry host, also in its certificate. `None`: the source address of its default
    route, kept as long as the host has it, and never a tunnel's; give the host a fixed lease. A loopback
    address is refused: Docker checks no certificate there. One that the registry host does not have is warned of, and a
    client of the inventory has to reach the registry there.
    """

    registry_listen_address: Address = None
    """Address of the registry host that the port is open on. `None`: all its IPv4 addresses, and all of IPv6 if
    `registry_address` or one of `registry_extra_names` is an IPv6 address.
    """

    registry_manage_hosts_file: Switch = True
    """Keep an entry for the registry's names in `/etc/hosts` of Docker hosts and cluster nodes."""

    registry_extra_names: ServerNames = ()
    """Further names or addresses that clients use. They are in the certificate, and clients trust the
    registry under each.
    """

    registry_state_dir: StateFolder = default_state_dir("local")
    """Folder of keys and passwords on the controller. If it is relative, then to the folder that `inventories/` is in;
    to the inventory's own folder, if that has another name. `None`: `state/<inventory's file name>`.
    """

    registry_image_source: ImageSource = "debian"
    """`"debian"`: build the images on the registry host from Debian's packages. `"pull"`: pull
    `registry_image` and `registry_gateway_image`, resolve each to a digest once and keep it.
    """

    registry_image: Image = "docker.io/library/registry:3"
    """The registry's image, for `"pull"`."""

    registry_gateway_image: Image = "docker.io/library/nginx:stable"
    """The gateway's image, for `"pull"`."""

    registry_storage_path: StorageFolder = "/var/lib/homelab-registry"
    """Folder of the images on the registry host. Only `make make-room` deletes there, and the timer if there is
    `registry_retention`.
    """

    registry_storage_limit: SizeOrNone = None
    """How much that folder may take up on its disk, such as `"30GB"` or `"500GiB"`. At the limit new uploads are
    refused, and pulls, deletes and uploads under way go on. It is measured every 10 seconds. `None`: no limit, and
    nothing measures.
    """

    registry_storage_warn: Percent = 80
    """From how many percent of `registry_storage_limit` on each run, `make status` and `make verify` warn."""

    registry_accounts: Accounts = {"admin": "admin", "ci": "push", "cluster": "pull"}
    """Accounts as name: role. `pull` reads, `push` also writes, `admin` also deletes. `metrics` reads `/metrics` and
    nothing else, with `registry_metrics`.
    """

    registry_metrics: Switch = False
    """Whether the registry answers Prometheus at `/metrics`, to accounts of the role `metrics`. If you name none, the
    account `metrics` is added. What Prometheus and Grafana read is in `monitoring/` in the state.
    """

    registry_delete_enabled: Switch = True
    """Whether anything may be deleted from the registry."""

    registry_web: Switch = True
    """Whether the gateway has a web page at the registry's name, for people with an account. Without a login it shows
    only the CA.
    """

    registry_retention: Retention = ()
    """Which tags `make make-room` and the timer delete: a list of rules, of which the first that matches a tag counts.
    With `{"repositories": "ci/*", "tags": "pr-*", "keep_last": 5, "keep_days": 14}` a tag goes if 5 of these in its
    repository are newer and it was pushed at least 14 days ago; `{"repositories": "apps/*", "keep": True}` keeps all.
    In a pattern `*` is any text, also with `/`, and `?` one character. `[]`: no tag is deleted.
    """

    registry_keep_running: Switch = True
    """Keep what a container, a pod or a workload of any host of the inventory uses, whatever the rules say."""

    registry_untagged_days: DaysOrNone = 7
    """After how many days without a tag `make make-room` deletes a manifest. `None`: never."""

    registry_trash_days: TrashDays = 1
    """How many days deleted images stay in a trash on the same disk."""

    registry_gc_grace_minutes: GraceMinutes = 60
    """How many minutes a blob that nothing refers to is left alone before it is deleted: a push may still need it."""

    registry_max_requests: MaxRequests = 256
    """How many requests of one client address are served at once. Further requests get `429`. Clients behind a NAT or a
    proxy share one address."""

    registry_max_guesses: MaxGuesses = 2
    """How many wrong passwords of one client address are answered per second. Eight more wait, and further ones get
    `429`. For an account with a custom password, this many requests per second are checked, right or wrong, after a
    first eight at once; 64 wait.
    """

    registry_leaf_days: LeafDays = 397
    """Lifetime of the registry's certificate in days, at most 825."""

    registry_ca_days: CaDays = 3650
    """Lifetime of the certificate authority in days."""

    registry_renew_before_days: RenewBefore = None
    """How many days before its end the certificate is renewed. `None`: a third of its lifetime. It is renewed
    only if the new one would last longer.
    """

    registry_login_account: Account = "cluster"
    """The account that users and nodes are logged in with."""

    registry_pull_secret_account: Account = "cluster"  # noqa: S105
    """The account in the pull secrets. Use one that only pulls."""

    registry_pull_secret_name: ObjectName = "registry-credentials"  # noqa: S105
    """Name of the pull secrets."""

    registry_pull_secret_namespaces: Namespaces = ("default",)
    """Namespaces that get a pull secret. `["*"]`: all but `kube-*`, new ones at the next run. A namespace
    that is taken out loses its secret.
    """

    registry_patch_service_accounts: ObjectNames = ("default",)
    """Service accounts in these namespaces that the secret is added to. `[]`: none."""

    registry_kubeconfig: File = None
    """Path of kubectl's configuration on the `cluster_control` host. `None`: the first one found."""

    registry_kube_context: KubeContext = None
    """Context in kubectl's configuration. `None`: the current one."""

    registry_ca_overlap_days: OverlapDays = 30
    """How many days clients trust the old certificate authority beside the new one after a CA rollover."""

    registry_password_grace_days: GraceDays = 0
    """How many days an old password stays valid beside the new one."""

    registry_rotate_account: AccountOrNone = None
    """The account whose password `make rotate-passwords` changes. `None`: all. For one run:
    `make rotate-passwords ACCOUNT=ci`.
    """

    registry_excused_hosts: HostNames = ()
    """Hosts that a rotation does not wait for because they are gone for good. For one run:
    `make deploy DATA=registry_excused_hosts=nas,attic`.
    """

    registry_today: DateOrNone = None
    """Today's date, if a run asks for it because the controller's clock is behind what is in the state. For one
    run: `make deploy DATA=registry_today=2026-03-01`.
    """

    registry_timer: TimerInterval = "weekly"
    """How often the timer of `make timer` runs `deploy.py`: `"daily"`, `"weekly"` or `"monthly"`."""

    registry_timer_program: File = None
    """Path of a program on the controller that gets, on standard input, what a failed run of the timer
    printed under "Not finished". It keeps its own secrets. `None`: no program.
    """

    registry_backup_folder: File = None
    """Folder of the registry host, on another disk than the images, that keeps backups. `None`: no such folder."""

    registry_backup_program: File = None
    """Path of a program on the registry host that backs up the folder that it gets as its argument, as root. It keeps
    its own secrets, and its own backups. `None`: no program.
    """

    registry_backup_keep: BackupKeep = {"daily": 7, "weekly": 4}
    """Which backups hosts in `backup_hosts` and `registry_backup_folder` keep: the last one of so many days, weeks and
    months that have one.
    """

    registry_backup_days: BackupDays = 8
    """After how many days without a good backup `make verify` fails."""

    registry_backup_recipients: File = None
    """Path of a file on the controller with public keys, as `age -R` reads them (of age, or of SSH): `state/` and the
    inventory go into backups, encrypted for these. `None`: they are in no backup.
    """

    registry_caches: Caches = ()
    """Registries in the internet that the registry host keeps a pull-through cache of, such as `["docker.io",
    "ghcr.io"]`: every host of the inventory then pulls their images through it. One that has no name of its own here is
    `{"name": "registry.example.com", "registry": "https://registry.example.com"}`. `[]`: no cache.
    """

    registry_cache_limit: Size = "20GB"
    """How much the caches may take up together. The images that were used least recently go first."""

    registry_cache_keep_free: Size = "5GB"
    """How much stays free on the disk of the caches, whatever the limit says."""

    registry_cache_path: StorageFolder = "/var/lib/homelab-registry-cache"
    """Folder of the caches on the registry host."""

    registry_cache_name: DnsNameOrNone = None
    """The name of the caches, under which runtimes ask them. `None`: `mirror` in the domain of `registry_hostname`."""

    registry_cache_tag_seconds: Seconds = 60
    """After how many seconds a cache asks again what a tag means."""

    registry_cache_networks: Networks = PRIVATE
    """The networks whose clients may read from the caches, without a login."""

    registry_cache_accounts: CacheAccounts = {}
    """Accounts that lift the limit of a registry in the internet: `{"docker.io": "me"}`, with the access token in
    `upstream/docker.io` in the state. What the public may not read stays unread.
    """

    registry_cache_clear: ImageOrNone = None
    """The image that `deploys/cache_clear.py` removes from the caches: `make cache-clear IMAGE=...`. `None`: all."""

    registry_restore: RestoreFrom = None
    """The backup that `deploys/restore.py` puts back: `make restore FROM=...`."""

    registry_restore_repository: Repository = None
    """The one repository that it puts back. `None`: all."""

    registry_restore_older: Switch = False
    """Whether it also puts back tags that were pushed again since the backup."""

    registry_repair_deep: Switch = False
    """Whether `deploys/repair.py` hashes every blob, and not only those that may be manifests: `make repair DEEP=1`."""


class HostSettings(_Strict):
    """The keys that each host may set for itself."""

    registry_login_users: LoginUsers = {}
    """System users on Docker hosts who are logged in: a list of them, with `registry_login_account`; or
    `{"deploy": "ci"}`, each with an account of their own, so that builders can push.
    """

    registry_runtime: Runtimes = None
    """Container runtimes of a cluster node: a list of `k3s`, `rke2`, `containerd`, `crio`, `podman`, `docker`.
    `None`: detected.
    """

    registry_node_login: Switch = False
    """Whether a node pulls with the login account, without pull secrets. Every pod on the node can use images
    pulled this way (KEP-2535).
    """

    registry_system_trust: Switch = False
    """Also add the certificate authority to the system's trust store."""

    registry_use_caches: Switch = True
    """Whether the runtimes of this host pull through the caches, if there are any (`registry_caches`)."""

    registry_backup_host_folder: StorageFolder = "/var/lib/homelab-registry-backup"
    """Folder of a host in `backup_hosts` that keeps backups."""

    def login_accounts(self, settings: Settings) -> dict[str, str]:
        """Return the account of each user who is logged in."""
        default = settings.registry_login_account
        return {user: account or default for user, account in self.registry_login_users.items()}


METRICS_ACCOUNT = "metrics"
"""The account that reads the metrics, unless one is named in `registry_accounts`."""


def _has_metrics_role(accounts: Mapping[str, str]) -> bool:
    return "metrics" in accounts.values()


def _are_apart(path: str, other: str) -> bool:
    return not f"{path}/".startswith(f"{other}/") and not f"{other}/".startswith(f"{path}/")


_RELATIONS: tuple[tuple[str, str, Callable[[Any, Any], bool], str], ...] = (
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
    (
        "registry_accounts",
        "registry_metrics",
        lambda accounts, on: on or not _has_metrics_role(accounts),
        "without the role metrics, or True",
    ),
    (
        "registry_metrics",
        "registry_accounts",
        lambda on, accounts: not on or _has_metrics_role(accounts) or METRICS_ACCOUNT not in accounts,
        "False, or the role of metrics be metrics, in",
    ),
    ("registry_extra_names", "registry_hostname", lambda extra, x: x not in extra, "names other than"),
    ("registry_cache_name", "registry_hostname", operator.ne, "a name other than"),
    ("registry_cache_name", "registry_extra_names", lambda x, extra: x not in extra, "none of"),
    (
        "registry_caches",
        "registry_hostname",
        lambda caches, x: not any(each.has_name(x) for each in caches),
        "registries other than",
    ),
    (
        "registry_caches",
        "registry_extra_names",
        lambda caches, extra: not any(each.has_name(x) for each in caches for x in extra),
        "registries other than those in",
    ),
    ("registry_cache_path", "registry_storage_path", _are_apart, "a folder apart from"),
    (
        "registry_cache_accounts",
        "registry_caches",
        lambda accounts, caches: set(accounts) <= {each.name for each in caches},
        "accounts of names in",
    ),
)
"""Key, other key, whether their values agree, and what the first must be: `relation` the other key's value."""


def broken_relations(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (key, relation, other key) of each relation that `values` break; keys that are not there are skipped."""
    for key, other, agree, relation in _RELATIONS:
        if key in values and other in values and not agree(values[key], values[other]):
            yield key, relation, other


class Settings(RunWideKeys):
    """The settings of a run; `pydantic.ValidationError` (a `ValueError`) if a relation between keys is broken."""

    @model_validator(mode="before")
    @classmethod
    def _add_metrics_account(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Add the account that reads the metrics, if they are on and no account has that role."""
        accounts = values.get("registry_accounts", cls.model_fields["registry_accounts"].default)
        if values.get("registry_metrics") is not True or not isinstance(accounts, dict):
            return values
        if _has_metrics_role(accounts) or METRICS_ACCOUNT in accounts:
            return values
        return values | {"registry_accounts": {**accounts, METRICS_ACCOUNT: "metrics"}}

    @model_validator(mode="after")
    def _check_relations(self) -> Settings:
        for key, relation, other in broken_relations(vars(self)):
            raise ValueError(f"{key}: must be {relation} {other}")
        return self

    def __str__(self) -> str:
        """Stand for all keys in a message: pyinfra prints the arguments of a fact that it could not load."""
        return "..."

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
    def local_endpoint(self) -> str:
        """Address and port at which the registry host reaches its own registry."""
        return f"{listen.local(self.registry_listen_address or listen.ALL_IPV4)}:{self.registry_port}"

    @property
    def storage_limit(self) -> int | None:
        """`registry_storage_limit` in bytes."""
        return sizes.size_in_bytes(self.registry_storage_limit) if self.registry_storage_limit else None

    @property
    def renew_before_days(self) -> int:
        """How many days before its end the leaf is renewed: as set, or a third of its lifetime, at least 1."""
        if self.registry_renew_before_days is not None:
            return self.registry_renew_before_days
        return max(1, self.registry_leaf_days // 3)
