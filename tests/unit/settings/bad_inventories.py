"""Inventories with one mistake each, and what the one line about it has to contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks.settings.load import Sources

GOOD = Sources(
    inventory="inventories/homelab.py",
    top_level={},
    groups={
        "registry": ["nas"],
        "docker_hosts": ["nas", "pi"],
        "cluster_nodes": ["k3s"],
        "homelab": ["nas", "pi"],
    },
    inline_group_data={},
    group_data={"all": {}, "homelab": {"ssh_user": "root"}},
    host_data={"nas": {"ssh_port": 22}},
    override={},
)

HOMELAB = "inventories/group_data/homelab.py"
FILE = "inventories/homelab.py"


@dataclass(frozen=True)
class Bad:
    """A bad inventory: its one problem names `key`, the place (`where`) and what is `allowed`."""

    name: str
    key: str
    sources: Sources
    where: str
    allowed: str


def set_to(value: Mapping[str, Any]) -> Sources:
    """Return the good inventory with these values in its own file of group data."""
    return replace(GOOD, group_data={"all": {}, "homelab": value})


# name, key, value, a part of what is allowed
VALUES: list[tuple[str, str, Any, str]] = [
    # Wrong types: nothing is coerced.
    ("port as text", "registry_port", "443", "a port, 1 to 65535"),
    ("port True", "registry_port", True, "a port, 1 to 65535"),
    ("port with a fraction", "registry_port", 443.0, "a port, 1 to 65535"),
    ("port None", "registry_port", None, "a port, 1 to 65535"),
    ("port in a list", "registry_port", [443], "a port, 1 to 65535"),
    ("switch as 1", "registry_manage_hosts_file", 1, "True or False"),
    ("switch as text", "registry_delete_enabled", "yes", "True or False"),
    ("per-host switch as 0", "registry_node_login", 0, "True or False"),
    ("per-host switch None", "registry_system_trust", None, "True or False"),
    ("hostname as a number", "registry_hostname", 5, "a lower-case DNS name"),
    ("hostname None", "registry_hostname", None, "a lower-case DNS name"),
    ("hostname as bytes", "registry_hostname", b"registry.homelab.local", "a lower-case DNS name"),
    ("names as one text", "registry_extra_names", "images.homelab.local", "a list of lower-case DNS names"),
    ("names as a set", "registry_extra_names", {"images.homelab.local"}, "a list of lower-case DNS names"),
    (
        "names with a number",
        "registry_extra_names",
        ["images.homelab.local", 5],
        "a list of lower-case DNS names",
    ),
    ("days as text", "registry_leaf_days", "397", "a whole number of days, 1 to 825"),
    ("accounts as a list", "registry_accounts", ["admin"], "a dict with at least one name: role"),
    ("users as one text", "registry_login_users", "alice", "a list of system users"),
    ("a function", "registry_hostname", len, "a lower-case DNS name"),
    # Numbers out of bounds.
    ("port 0", "registry_port", 0, "1 to 65535"),
    ("port 65536", "registry_port", 65536, "1 to 65535"),
    ("port negative", "registry_port", -443, "1 to 65535"),
    ("port huge", "registry_port", 10**5000, "1 to 65535"),
    ("requests 0", "registry_max_requests", 0, "a whole number, 1 to 4096"),
    *(
        (f"storage limit that is {what}", "registry_storage_limit", value, "a size above 0 such as")
        for what, value in (
            ("nonsense", "lots"),
            ("empty", ""),
            ("0", "0GB"),
            ("next to 0", "0.000GB"),
            ("negative", "-30GB"),
            ("without a unit", "30"),
            ("a number", 30_000_000_000),
            ("in gigabits", "30Gb"),
            ("in small letters", "30gb"),
            ("in a unit by half", "30G"),
            ("in bytes", "30B"),
            ("with a comma", "1,5GB"),
            ("with an exponent", "1e9GB"),
            ("with two spaces", "30  GB"),
            ("with a line break", "30GB\n"),
            ("a percentage", "80%"),
            ("a list", ["30GB"]),
            ("in digits of another script", "\u0663GB"),
            ("infinite", "infGB"),
            ("of too many digits", "1" * 10 + "MB"),
        )
    ),
    ("storage warn of 0", "registry_storage_warn", 0, "a whole number of percent, 1 to 100"),
    ("storage warn of 101", "registry_storage_warn", 101, "1 to 100"),
    ("storage warn as text", "registry_storage_warn", "80%", "1 to 100"),
    ("guesses 0", "registry_max_guesses", 0, "a whole number, 1 to 1000"),
    ("leaf of 0 days", "registry_leaf_days", 0, "1 to 825"),
    ("leaf longer than Apple accepts", "registry_leaf_days", 826, "1 to 825"),
    ("CA of 0 days", "registry_ca_days", 0, "1 to 36500"),
    ("CA beyond a century", "registry_ca_days", 36501, "1 to 36500"),
    ("renewal at the end", "registry_renew_before_days", 0, "None or a whole number of days, 1 to 824"),
    (
        "renewal beyond every leaf",
        "registry_renew_before_days",
        825,
        "None or a whole number of days, 1 to 824",
    ),
    ("overlap beyond a year", "registry_ca_overlap_days", 366, "1 to 365"),
    ("grace beyond a year", "registry_password_grace_days", 366, "0 to 365"),
    ("overlap 0", "registry_ca_overlap_days", 0, "1 to 365"),
    ("rotated account with a capital", "registry_rotate_account", "CI", "None or the name of an account"),
    (
        "excused host with a space",
        "registry_excused_hosts",
        "nas, attic",
        "names of hosts in the inventory",
    ),
    ("today in another order", "registry_today", "01.03.2026", "None or a date such as 2026-03-01"),
    ("today that never was", "registry_today", "2026-02-30", "None or a date such as 2026-03-01"),
    ("excused host twice", "registry_excused_hosts", ["nas", "nas"], "without duplicates"),
    ("grace negative", "registry_password_grace_days", -1, "0 to 365"),
    # Names that are not DNS names.
    ("hostname empty", "registry_hostname", "", "a lower-case DNS name"),
    ("hostname without a dot", "registry_hostname", "registry", "with a dot"),
    ("hostname with a capital", "registry_hostname", "Registry.homelab.local", "lower-case"),
    (
        "hostname with an underscore",
        "registry_hostname",
        "my_registry.homelab.local",
        "a lower-case DNS name",
    ),
    (
        "hostname with a dot at its end",
        "registry_hostname",
        "registry.homelab.local.",
        "a lower-case DNS name",
    ),
    ("hostname with an empty label", "registry_hostname", "registry..local", "a lower-case DNS name"),
    ("hostname with a hyphen first", "registry_hostname", "-registry.local", "a lower-case DNS name"),
    ("hostname with a hyphen last", "registry_hostname", "registry-.local", "a lower-case DNS name"),
    ("hostname as a wildcard", "registry_hostname", "*.homelab.local", "a lower-case DNS name"),
    ("hostname with a port", "registry_hostname", "registry.homelab.local:5000", "a lower-case DNS name"),
    ("hostname as a URL", "registry_hostname", "https://registry.homelab.local", "a lower-case DNS name"),
    ("hostname with a space", "registry_hostname", "registry .local", "a lower-case DNS name"),
    (
        "hostname with a line break at its end",
        "registry_hostname",
        "registry.homelab.local\n",
        "a lower-case DNS name",
    ),
    ("hostname not ASCII", "registry_hostname", "регистр.homelab.local", "a lower-case DNS name"),
    (
        "hostname with digits of another script",
        "registry_hostname",
        "registry\u0661.local",
        "a lower-case DNS name",
    ),
    ("hostname as an address", "registry_hostname", "192.0.2.10", "not an address"),
    ("hostname as a short address", "registry_hostname", "10.1", "not an address"),
    ("hostname that ends like an address", "registry_hostname", "registry.0x7f", "not an address"),
    ("hostname as an IPv6 address", "registry_hostname", "fd00::10", "not an address"),
    ("hostname localhost", "registry_hostname", "localhost", "not below localhost"),
    ("hostname below localhost", "registry_hostname", "registry.localhost", "not below localhost"),
    ("hostname localhost.localdomain", "registry_hostname", "localhost.localdomain", "not below localhost"),
    ("hostname with a label of 64", "registry_hostname", "a" * 64 + ".local", "RFC 1123"),
    ("hostname of 254", "registry_hostname", ".".join(["a" * 62] * 4) + ".ab", "RFC 1123"),
    ("extra name without a dot", "registry_extra_names", ["nas"], "DNS names with a dot"),
    ("extra name twice", "registry_extra_names", ["a.local", "a.local"], "without duplicates"),
    ("extra address twice", "registry_extra_names", ["fd00::1", "FD00:0::1"], "without duplicates"),
    # Addresses.
    ("listen address that is a name", "registry_listen_address", "eth0", "IPv4 or IPv6 address"),
    ("listen address that is loopback", "registry_listen_address", "127.0.0.1", "not loopback"),
    ("listen address that is all", "registry_listen_address", "0.0.0.0", "unspecified"),  # noqa: S104
    ("address that is a name", "registry_address", "nas.homelab.local", "IPv4 or IPv6 address"),
    ("address empty", "registry_address", "", "IPv4 or IPv6 address"),
    ("address as a number", "registry_address", 3221225994, "IPv4 or IPv6 address"),
    ("address with a mask", "registry_address", "192.0.2.10/24", "IPv4 or IPv6 address"),
    ("address with a leading zero", "registry_address", "192.0.2.010", "IPv4 or IPv6 address"),
    ("address with a zone", "registry_address", "fd00::1%eth0", "IPv4 or IPv6 address"),
    ("address in brackets", "registry_address", "[fd00::1]", "IPv4 or IPv6 address"),
    ("loopback address", "registry_address", "127.0.0.1", "not loopback"),
    ("another loopback address", "registry_address", "127.9.9.9", "not loopback"),
    ("IPv6 loopback address", "registry_address", "::1", "not loopback"),
    ("loopback address mapped to IPv6", "registry_address", "::ffff:127.0.0.1", "not loopback"),
    ("unspecified address", "registry_address", "0.0.0.0", "unspecified"),  # noqa: S104
    ("unspecified IPv6 address", "registry_address", "::", "unspecified"),
    ("address of this network", "registry_address", "0.1.2.3", "reserved"),
    ("multicast address", "registry_address", "224.0.0.1", "multicast"),
    ("IPv6 multicast address", "registry_address", "ff02::1", "multicast"),
    ("broadcast address", "registry_address", "255.255.255.255", "reserved"),
    ("link-local address", "registry_address", "169.254.1.1", "link-local"),
    ("IPv6 link-local address", "registry_address", "fe80::1", "link-local"),
    ("loopback address as an extra name", "registry_extra_names", ["127.0.0.1"], "not loopback"),
    # Paths.
    ("storage relative", "registry_storage_path", "images", "an absolute path"),
    ("storage empty", "registry_storage_path", "", "an absolute path"),
    ("storage with ..", "registry_storage_path", "/srv/images/../../etc", "no .."),
    ("storage with .", "registry_storage_path", "/srv/./images", "an absolute path"),
    ("storage with //", "registry_storage_path", "//srv/images", "an absolute path"),
    ("storage with / at its end", "registry_storage_path", "/srv/images/", "no / at the end"),
    ("storage with a space", "registry_storage_path", "/srv/my images", "letters, digits"),
    ("storage with a line break", "registry_storage_path", "/srv/images\n", "letters, digits"),
    ("storage with a colon", "registry_storage_path", "/srv/images:ro", "letters, digits"),
    ("storage with a comma", "registry_storage_path", "/srv/images,readonly", "letters, digits"),
    ("storage not ASCII", "registry_storage_path", "/srv/Bücher", "letters, digits"),
    ("storage with a long part", "registry_storage_path", "/srv/" + "a" * 256, "letters, digits"),
    ("storage at the root", "registry_storage_path", "/", "not a system folder"),
    ("storage at /etc", "registry_storage_path", "/etc", "not a system folder"),
    ("storage below /etc", "registry_storage_path", "/etc/images", "not a system folder"),
    ("storage at /var", "registry_storage_path", "/var", "not a system folder"),
    ("storage at Docker Engine's", "registry_storage_path", "/var/lib/docker", "not a system folder"),
    ("storage at a home folder", "registry_storage_path", "/home/alice", "not a system folder"),
    ("storage below /proc", "registry_storage_path", "/proc/1/cwd", "not a system folder"),
    ("state at the root", "registry_state_dir", "/", "not a system folder"),
    ("state at /root", "registry_state_dir", "/root", "not a system folder"),
    ("state with ..", "registry_state_dir", "../state", "no .."),
    ("state in the project folder itself", "registry_state_dir", ".", "a folder below the project"),
    ("state with a tilde", "registry_state_dir", "~/state", "letters, digits"),
    ("state like an option", "registry_state_dir", "-rf", "a folder below the project"),
    ("state with a space", "registry_state_dir", "my state", "letters, digits"),
    ("kubeconfig relative", "registry_kubeconfig", "kube/config", "None or an absolute path"),
    ("kubeconfig with a tilde", "registry_kubeconfig", "~/.kube/config", "None or an absolute path"),
    ("two kubeconfigs", "registry_kubeconfig", "/root/a:/root/b", "None or an absolute path"),
    # The timer.
    ("timer as a number", "registry_timer", 7, '"daily", "weekly" or "monthly"'),
    (
        "timer as a systemd calendar event",
        "registry_timer",
        "Mon *-*-* 03:00",
        '"daily", "weekly" or "monthly"',
    ),
    ("program with arguments", "registry_timer_program", "/usr/bin/curl -d @-", "None or an absolute path"),
    ("program without a path", "registry_timer_program", "notify-me", "None or an absolute path"),
    # Backups.
    ("backup to a relative folder", "registry_backup_folder", "backup", "None or an absolute path"),
    ("backup to a system folder there", "registry_backup_host_folder", "/etc", "not a system folder"),
    ("backup by a command", "registry_backup_program", "restic backup", "None or an absolute path"),
    ("backups kept by the hour", "registry_backup_keep", {"hourly": 3}, "a dict of how many backups to keep"),
    (
        "backups kept without a number",
        "registry_backup_keep",
        {"daily": True},
        "a dict of how many backups to keep",
    ),
    ("no backup kept", "registry_backup_keep", {"daily": 0}, "a dict of how many backups to keep"),
    ("no backups kept", "registry_backup_keep", {}, "a dict of how many backups to keep"),
    ("backup never too old", "registry_backup_days", 0, "a whole number of days, 1 to 365"),
    ("the key itself", "registry_backup_recipients", "age1xyz", "None or an absolute path"),
    ("restore of a day", "registry_restore", "2026-03-01", "None, latest, a backup's name"),
    ("restore of a relative folder", "registry_restore", "backup/x", "None, latest, a backup's name"),
    ("restore out of a folder", "registry_restore", "/mnt/../etc", "a folder of the registry host"),
    ("restore of two hosts", "registry_restore", "nas:pi:latest", "None, latest, a backup's name"),
    ("restore of a tag", "registry_restore_repository", "apps/web:1", "the name of a repository"),
    ("restore out of the repositories", "registry_restore_repository", "../web", "the name of a repository"),
    ("restore of older ones as text", "registry_restore_older", "yes", "True or False"),
    # Images.
    ("unknown image source", "registry_image_source", "docker", '"debian" or "pull"'),
    ("image empty", "registry_image", "", "an image reference"),
    ("image with a capital", "registry_image", "docker.io/library/Registry:3", "an image reference"),
    ("image with a capital at the registry", "registry_image", "Library/registry", "an image reference"),
    ("image with a scheme", "registry_image", "https://docker.io/library/registry", "an image reference"),
    ("image with an empty tag", "registry_gateway_image", "nginx:", "an image reference"),
    ("image with two tags", "registry_gateway_image", "nginx:1:2", "an image reference"),
    ("image with a long tag", "registry_gateway_image", "nginx:" + "a" * 129, "an image reference"),
    ("image with a short digest", "registry_image", "registry@sha256:abc", "an image reference"),
    ("image like an option", "registry_image", "--privileged", "an image reference"),
    ("image as an id", "registry_image", "a" * 64, "an image reference"),
    # Accounts.
    ("no account", "registry_accounts", {}, "at least one name"),
    ("account with a colon", "registry_accounts", {"ci:x": "push"}, "names are lower-case letters"),
    ("account with a slash", "registry_accounts", {"../ci": "push"}, "names are lower-case letters"),
    ("account with two dots", "registry_accounts", {"c..i": "push"}, "no .."),
    ("account not ASCII", "registry_accounts", {"jürgen": "push"}, "names are lower-case letters"),
    ("account with a capital", "registry_accounts", {"Admin": "admin"}, "names are lower-case letters"),
    ("account empty", "registry_accounts", {"": "push"}, "names are lower-case letters"),
    ("account with a dot first", "registry_accounts", {".ci": "push"}, "names are lower-case letters"),
    ("account of 65", "registry_accounts", {"a" * 65: "push"}, "at most 64"),
    ("account that is an nginx keyword", "registry_accounts", {"default": "push"}, "nginx keywords"),
    ("account as a number", "registry_accounts", {7: "push"}, "names are lower-case letters"),
    ("role unknown", "registry_accounts", {"cluster": "reader"}, "roles are pull, push, admin"),
    ("role None", "registry_accounts", {"cluster": None}, "roles are pull, push, admin"),
    ("role with a capital", "registry_accounts", {"cluster": "Pull"}, "roles are pull, push, admin"),
    ("login account missing", "registry_login_account", "nobody", "one of registry_accounts"),
    ("login account with a colon", "registry_login_account", "ci:x", "the name of an account"),
    ("pull secret account missing", "registry_pull_secret_account", "nobody", "one of registry_accounts"),
    ("user with a space", "registry_login_users", ["alice smith"], "system users"),
    ("user as a path", "registry_login_users", ["../root"], "system users"),
    ("user as a number", "registry_login_users", [1000], "system users"),
    ("user twice", "registry_login_users", ["alice", "alice"], "without duplicates"),
    ("user in a list", "registry_login_users", [["alice"]], "system users"),
    ("user with a space in a dict", "registry_login_users", {"alice smith": "ci"}, "user: account"),
    ("user with a role", "registry_login_users", {"alice": ["push"]}, "user: account"),
    (
        "user with an account that does not exist",
        "registry_login_users",
        {"alice": "nobody"},
        "one of registry_accounts",
    ),
    # Kubernetes.
    ("secret name with a capital", "registry_pull_secret_name", "Credentials", "RFC 1123 subdomain"),
    (
        "secret name with an underscore",
        "registry_pull_secret_name",
        "registry_credentials",
        "RFC 1123 subdomain",
    ),
    ("secret name of 254", "registry_pull_secret_name", "a" * 254, "at most 253"),
    ("secret name with two dots", "registry_pull_secret_name", "a..b", "RFC 1123 subdomain"),
    ("namespace with a dot", "registry_pull_secret_namespaces", ["my.apps"], "RFC 1123 labels"),
    ("namespace with a capital", "registry_pull_secret_namespaces", ["Apps"], "RFC 1123 labels"),
    ("namespace of 64", "registry_pull_secret_namespaces", ["a" * 64], "RFC 1123 labels"),
    ("namespace as a pattern", "registry_pull_secret_namespaces", ["team-*"], "RFC 1123 labels"),
    ("namespace twice", "registry_pull_secret_namespaces", ["apps", "apps"], "without duplicates"),
    ("namespaces as text", "registry_pull_secret_namespaces", "*", "a list of namespaces"),
    ("namespaces all and one", "registry_pull_secret_namespaces", ["*", "apps"], '["*"]'),
    (
        "service account with a slash",
        "registry_patch_service_accounts",
        ["apps/default"],
        "RFC 1123 subdomains",
    ),
    ("service account twice", "registry_patch_service_accounts", ["a", "a"], "without duplicates"),
    ("context empty", "registry_kube_context", "", "None or the name of a context"),
    ("context like an option", "registry_kube_context", "--token=x", "None or the name of a context"),
    ("context with a bell", "registry_kube_context", "home\x07", "None or the name of a context"),
    ("runtime unknown", "registry_runtime", ["dockershim"], "k3s, rke2, containerd, crio, podman"),
    ("runtime as text", "registry_runtime", "k3s", "None or a list"),
    ("runtime twice", "registry_runtime", ["k3s", "k3s"], "without duplicates"),
    ("empty list of runtimes", "registry_runtime", [], "None or a list"),
    # Values that are good on their own, but not together.
    (
        "hostname as an extra name",
        "registry_extra_names",
        ["registry.homelab.local"],
        "other than registry_hostname",
    ),
    (
        "leaf longer than the CA's default",
        "registry_ca_days",
        100,
        "must be at most registry_ca_days = 100",
    ),
    ("renewal as long as the leaf", "registry_renew_before_days", 397, "less than registry_leaf_days = 397"),
    # Keys that do not exist.
    ("key misspelt", "registry_prot", 5443, "did you mean registry_port?"),
    ("key unlike any other", "registry_zzz", 1, "inventories/group_data/all.py lists all keys"),
    ("key with a capital", "registry_Port", 5443, "did you mean registry_port?"),
    ("prefix misspelt", "regsitry_port", 5443, "did you mean registry_port?"),
    ("key in capitals", "REGISTRY_HOSTNAME", "registry.home.arpa", "did you mean registry_hostname?"),
    ("key without its prefix", "storage_path", "/mnt/tank/registry", "did you mean registry_storage_path?"),
    ("name without its prefix", "hostname", "registry.home.arpa", "did you mean registry_hostname?"),
]

REPORTED_FOR = {"leaf longer than the CA's default": ("registry_leaf_days", "the default")}

GROUPS = GOOD.groups
INVENTORIES: list[Bad] = [
    *(
        Bad(
            name,
            *REPORTED_FOR.get(name, (key, HOMELAB))[:1],
            set_to({key: value}),
            REPORTED_FOR.get(name, ("", HOMELAB))[1],
            allowed,
        )
        for name, key, value, allowed in VALUES
    ),
    # Each place once.
    Bad(
        "in all.py",
        "registry_port",
        replace(GOOD, group_data={"all": {"registry_port": 0}}),
        "(inventories/group_data/all.py)",
        "1 to 65535",
    ),
    Bad(
        "in all.py, though a stronger place is right",
        "registry_port",
        replace(GOOD, group_data={"all": {"registry_port": 0}}, override={"registry_port": 443}),
        "(inventories/group_data/all.py)",
        "1 to 65535",
    ),
    Bad(
        "in host data",
        "registry_runtime",
        replace(GOOD, host_data={"k3s": {"registry_runtime": ["dockerd"]}}),
        f"({FILE}, host k3s)",
        "k3s, rke2",
    ),
    Bad(
        "in --data",
        "registry_port",
        replace(GOOD, override={"registry_port": "http"}),
        "(--data)",
        "1 to 65535",
    ),
    Bad(
        "unknown in --data",
        "registry_ports",
        replace(GOOD, override={"registry_ports": 1}),
        "(--data)",
        "did you mean",
    ),
    Bad(
        "unknown in host data",
        "registry_host",
        replace(GOOD, host_data={"pi": {"registry_host": True}}),
        f"({FILE}, host pi)",
        "did you mean",
    ),
    Bad(
        "in a group's file",
        "registry_login_users",
        replace(GOOD, group_data={"docker_hosts": {"registry_login_users": ["alice"]}}),
        "(inventories/group_data/docker_hosts.py)",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "in a file of group data that belongs to no inventory",
        "registry_port",
        replace(GOOD, group_data={"homlab": {"registry_port": 5443}}, other_inventories=["local"]),
        "(inventories/group_data/homlab.py)",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "unknown in a group's file",
        "registry_prot",
        replace(GOOD, group_data={"docker_hosts": {"registry_prot": 5443}}),
        "(inventories/group_data/docker_hosts.py)",
        "did you mean registry_port?",
    ),
    Bad(
        "in a group with data",
        "registry_system_trust",
        replace(GOOD, inline_group_data={"docker_hosts": {"registry_system_trust": True}}),
        f"({FILE}, group docker_hosts)",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "in the group all with data",
        "registry_port",
        replace(GOOD, inline_group_data={"all": {"registry_port": 5443}}),
        f"({FILE}, group all)",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "plain line in the inventory",
        "registry_port",
        replace(GOOD, top_level={"registry_port": 5443}),
        f"({FILE})",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "list in the inventory",
        "registry_extra_names",
        replace(
            GOOD,
            top_level={"registry_extra_names": ["images.homelab.local"]},
            groups={**GROUPS, "registry_extra_names": ["images.homelab.local"]},
        ),
        f"({FILE})",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "group named like a key",
        "registry_login_users",
        replace(GOOD, groups={**GROUPS, "registry_login_users": ["alice"]}),
        f"({FILE})",
        f"put it into {HOMELAB}",
    ),
    Bad(
        "group named registry_...",
        "registry_hosts",
        replace(GOOD, groups={**GROUPS, "registry_hosts": ["nas"]}),
        f"({FILE})",
        "no group of hosts may begin with registry_",
    ),
    # Two values of a run-wide key.
    Bad(
        "two values",
        "registry_port",
        replace(GOOD, host_data={"nas": {"registry_port": 5443}, "pi": {"registry_port": 5444}}),
        f"({FILE}, host nas)",
        f"the same for all hosts, and host pi has 5444 ({FILE}, host pi); put it into {HOMELAB}",
    ),
    Bad(
        "a value at the registry host alone",
        "registry_port",
        replace(GOOD, host_data={"nas": {"registry_port": 5443}}),
        f"({FILE}, host nas)",
        f"the same for all hosts, and host pi has 443 (the default); put it into {HOMELAB}",
    ),
    Bad(
        "a value at another host alone",
        "registry_hostname",
        replace(GOOD, group_data={"all": {}}, host_data={"pi": {"registry_hostname": "r.homelab.local"}}),
        f"({FILE}, host pi)",
        "and host nas has 'registry.homelab.local'",
    ),
    # Groups.
    Bad(
        "no registry",
        "registry",
        replace(GOOD, groups={"docker_hosts": ["nas"]}),
        f"({FILE})",
        "exactly one host",
    ),
    Bad(
        "an empty registry",
        "registry",
        replace(GOOD, groups={**GROUPS, "registry": []}),
        f"({FILE})",
        "exactly one",
    ),
    Bad(
        "no host at all", "registry", replace(GOOD, groups={}, host_data={}), f"({FILE})", "exactly one host"
    ),
    Bad(
        "two registries",
        "registry",
        replace(GOOD, groups={**GROUPS, "registry": ["nas", "pi"]}),
        f"({FILE})",
        "exactly one",
    ),
    Bad(
        "two control hosts",
        "cluster_control",
        replace(GOOD, groups={**GROUPS, "cluster_control": ["nas", "pi"]}),
        f"({FILE})",
        "at most one host",
    ),
    Bad(
        "a misspelt group",
        "docker_host",
        replace(GOOD, groups={"registry": ["nas"], "docker_host": ["pi"]}),
        f"({FILE})",
        "did you mean docker_hosts?",
    ),
    # Two places together.
    Bad(
        "leaf longer than its CA",
        "registry_leaf_days",
        replace(GOOD, group_data={"all": {"registry_ca_days": 300}, "homelab": {"registry_leaf_days": 301}}),
        f"({HOMELAB})",
        "at most registry_ca_days = 300 (inventories/group_data/all.py)",
    ),
    Bad(
        "renewal longer than the leaf",
        "registry_renew_before_days",
        replace(
            GOOD, group_data={"all": {"registry_renew_before_days": 30}}, override={"registry_leaf_days": 20}
        ),
        "(inventories/group_data/all.py)",
        "less than registry_leaf_days = 20 (--data)",
    ),
    Bad(
        "an inventory's name that is not a valid path",
        "registry_state_dir",
        replace(GOOD, inventory="inventories/my lab.py"),
        "the default, from the inventory's file name",
        "a folder below the project",
    ),
]
