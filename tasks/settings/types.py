"""What a setting may be: one type for each kind of name, address, path and number.

Every string is matched as a whole against an allow-list of ASCII characters. It cannot contain anything that a
template, a shell, `docker run -v` or nginx's configuration would interpret (braces, `$`, backticks, quotes, `,`,
`;`, spaces, line breaks, NUL). A type's `description` completes the sentence "must be ..." in messages to the user.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.settings import sizes

LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""A DNS label: at most 63 octets, letters, digits and inner hyphens (RFC 1123, section 2.1)."""

NGINX_WORDS = frozenset({"default", "hostnames", "include", "volatile"})
"""Words with a meaning in nginx's `map`, whose keys are account names (ngx_http_map_module)."""

SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr", "/var/run",
)  # fmt: skip
"""Folders of the operating system and the kernel, in which no user data belongs (FHS 3.0)."""

SHARED_FOLDERS = (
    "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var/tmp",  # noqa: S108
    "/var", "/var/backups", "/var/cache", "/var/lib", "/var/lib/containerd", "/var/lib/docker",
    "/var/lib/kubelet", "/var/local", "/var/log", "/var/mail", "/var/opt", "/var/spool",
)  # fmt: skip
"""Folders that others use too. A folder of this project gets an owner of its own and mode 0700."""


def matching(pattern: str, max_length: int) -> AfterValidator:
    """Return the check that a text has at most this length and matches a pattern as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if len(text) > max_length or not compiled.fullmatch(text):
            raise ValueError
        return text

    return AfterValidator(check)


def _dns_name(text: str) -> str:
    if len(text) > 253 or not re.fullmatch(rf"{LABEL}(?:\.{LABEL})+", text, re.ASCII):
        raise ValueError
    # Many programs take a name whose last label is a number for an address (RFC 1123, section 2.1; WHATWG URL).
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", text.rpartition(".")[2]):
        raise ValueError
    # localhost is the loopback (RFC 6761, section 6.3), where Docker Engine checks no certificate.
    if text.endswith(".localhost") or text == "localhost.localdomain":
        raise ValueError
    return text


def _address(text: str) -> str:
    address = ipaddress.ip_address(text)
    # is_reserved includes IPv4-mapped IPv6 addresses, another spelling of the loopback.
    if (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or address.is_reserved
    ):
        raise ValueError
    if address in ipaddress.ip_network("0.0.0.0/8") or "%" in text:
        raise ValueError
    return str(address)


def _dns_name_or_address(text: str) -> str:
    try:
        return _dns_name(text)
    except ValueError:
        return _address(text)


def _account_name(name: str) -> str:
    if ".." in name or name in NGINX_WORDS:
        raise ValueError
    return name


def _path(text: str) -> str:
    parts = text.removeprefix("/").split("/")
    if len(text) > 1000 or {".", ".."} & set(parts):
        raise ValueError
    if not all(re.fullmatch("[A-Za-z0-9._+@-]{1,255}", part) for part in parts):
        raise ValueError
    if text.startswith("-"):
        raise ValueError
    return text


def _absolute_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError
    return path


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError
    return dt.date.fromisoformat(text).isoformat()


def _no_shared_folder(path: str) -> str:
    if path in SYSTEM_FOLDERS or path in SHARED_FOLDERS or re.fullmatch("/home/[^/]+", path):
        raise ValueError
    return path


def _not_below_system_folder(path: str) -> str:
    if any(path.startswith(f"{folder}/") for folder in SYSTEM_FOLDERS):
        raise ValueError
    return path


def _not_an_image_id(reference: str) -> str:
    # Docker reads 64 hexadecimal digits as an image's ID and refuses them as a name.
    if re.fullmatch("[0-9a-f]{64}", reference.partition("@")[0].partition(":")[0]):
        raise ValueError
    return reference


def tuple_from_list(value: Any) -> Any:
    """Return a list, as people write it, as a tuple, which nobody can change."""
    return tuple(value) if isinstance(value, list) else value


def _tuple_from_commas(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _keys_from_list(value: Any) -> Any:
    return (
        dict.fromkeys(_no_duplicates(tuple(map(_hashable, value))))
        if isinstance(value, list | tuple)
        else value
    )


def _hashable(value: Any) -> Any:
    if not isinstance(value, str | int | None):
        raise ValueError
    return value


def _no_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError
    return values


def _star_only_alone(values: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in values and values != ("*",):
        raise ValueError
    return values


def _kept_backups(value: dict[str, int]) -> dict[str, int]:
    if not value or not set(value) <= {"daily", "weekly", "monthly"}:
        raise ValueError
    if not all(1 <= number <= 1000 for number in value.values()):
        raise ValueError
    return value


# Docker reads the part before the first slash as a registry only if it has a dot or a port, or is localhost
# (github.com/distribution/reference, regexp.go and normalize.go).
_PART = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = "[0-9]{1,5}"
_REGISTRY = (
    rf"(?:{_PART}(?:\.{_PART})+(?::{_PORT})?|{_PART}:{_PORT}|localhost|\[[0-9A-Fa-f:]+\](?::{_PORT})?)"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = rf"(?:{_REGISTRY}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_IMAGE = rf"{_REPOSITORY}(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"

_SUBDOMAIN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"

_ADDRESSES = "not loopback, unspecified, multicast, link-local or reserved"
_CHARACTERS = "letters, digits and . _ + @ -, no .. and no / at the end"
_ACCOUNT = (
    "lower-case letters, digits and inner . _ -, no .., at most 64 characters, not "
    f"{', '.join(sorted(NGINX_WORDS))} (nginx keywords)"
)

DnsName = Annotated[
    str,
    AfterValidator(_dns_name),
    Field(description="a lower-case DNS name with a dot (RFC 1123), not an address, not below localhost"),
]
DnsNameOrNone = Annotated[DnsName | None, Field(description="None or a lower-case DNS name with a dot")]
Address = Annotated[
    Annotated[str, AfterValidator(_address)] | None,
    Field(description=f"None or an IPv4 or IPv6 address, {_ADDRESSES}"),
]
ServerNames = Annotated[
    tuple[Annotated[str, AfterValidator(_dns_name_or_address)], ...],
    BeforeValidator(tuple_from_list),
    AfterValidator(_no_duplicates),
    Field(
        description=f"a list of lower-case DNS names with a dot and of addresses ({_ADDRESSES}), without duplicates"
    ),
]
Port = Annotated[int, Field(ge=1, le=65535, description="a port, 1 to 65535")]
Switch = Annotated[bool, Field(description="True or False")]

StateFolder = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_no_shared_folder),
    Field(
        description=f"a folder below the project, or an absolute path that is not a system folder: {_CHARACTERS}"
    ),
]
StorageFolder = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_absolute_path),
    AfterValidator(_no_shared_folder),
    AfterValidator(_not_below_system_folder),
    Field(
        description=f"an absolute path to a folder for the images alone, not a system folder: {_CHARACTERS}"
    ),
]
File = Annotated[
    Annotated[str, AfterValidator(_path), AfterValidator(_absolute_path)] | None,
    Field(description=f"None or an absolute path: {_CHARACTERS}"),
]

ImageSource = Annotated[Literal["debian", "pull"], Field(description='"debian" or "pull"')]
Image = Annotated[
    str,
    matching(_IMAGE, 500),
    AfterValidator(_not_an_image_id),
    Field(description="an image reference, registry/name[:tag][@sha256:digest]"),
]

Role = Literal["pull", "push", "admin", "metrics"]
Account = Annotated[
    str,
    matching("[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", 64),
    AfterValidator(_account_name),
    Field(description=f"the name of an account: {_ACCOUNT}"),
]
Accounts = Annotated[
    dict[Account, Role],
    Field(
        min_length=1,
        description=f"a dict with at least one name: role; roles are pull, push, admin, metrics; names are {_ACCOUNT}",
    ),
]
LoginUsers = Annotated[
    dict[Annotated[str, matching("[A-Za-z_][A-Za-z0-9_.-]{0,31}", 32)], Account | None],
    BeforeValidator(_keys_from_list),
    Field(
        description="a list of system users (useradd(8)), without duplicates, or a dict with user: account"
    ),
]
"""An account of None, as all have of a list, is `registry_login_account`."""

Namespaces = Annotated[
    tuple[Annotated[str, matching(rf"\*|{LABEL}", 63)], ...],
    BeforeValidator(tuple_from_list),
    AfterValidator(_no_duplicates),
    AfterValidator(_star_only_alone),
    Field(description='a list of namespaces (RFC 1123 labels), without duplicates, or ["*"]'),
]
ObjectName = Annotated[
    str,
    matching(_SUBDOMAIN, 253),
    Field(description="the name of a Kubernetes object: an RFC 1123 subdomain of at most 253 characters"),
]
ObjectNames = Annotated[
    tuple[Annotated[str, matching(_SUBDOMAIN, 253)], ...],
    BeforeValidator(tuple_from_list),
    AfterValidator(_no_duplicates),
    Field(description="a list of names of Kubernetes objects (RFC 1123 subdomains), without duplicates"),
]
KubeContext = Annotated[
    Annotated[str, matching("[A-Za-z0-9_][A-Za-z0-9._:/@+=-]*", 253)] | None,
    Field(description="None or the name of a context: letters, digits and . _ : / @ + = -"),
]
HostNames = Annotated[
    tuple[Annotated[str, matching("@?[A-Za-z0-9][A-Za-z0-9._:/@-]*", 253)], ...],
    BeforeValidator(_tuple_from_commas),
    BeforeValidator(tuple_from_list),
    AfterValidator(_no_duplicates),
    Field(description="names of hosts in the inventory, a list or separated by commas, without duplicates"),
]
AccountOrNone = Annotated[Account | None, Field(description=f"None or the name of an account: {_ACCOUNT}")]
RuntimeName = Literal["k3s", "rke2", "containerd", "crio", "podman", "docker"]
Runtimes = Annotated[
    Annotated[
        tuple[RuntimeName, ...],
        BeforeValidator(tuple_from_list),
        AfterValidator(_no_duplicates),
        Field(min_length=1),
    ]
    | None,
    Field(description=f"None or a list of {', '.join(get_args(RuntimeName))}, without duplicates"),
]

SizeOrNone = Annotated[
    Annotated[str, AfterValidator(sizes.normalize)] | None,
    Field(
        description='None or a size above 0 such as "30GB" or "500 GiB": a number and MB, GB, TB, PB (powers of 1000) '
        "or MiB, GiB, TiB, PiB (powers of 1024)"
    ),
]
Percent = Annotated[int, Field(ge=1, le=100, description="a whole number of percent, 1 to 100")]
MaxRequests = Annotated[int, Field(ge=1, le=4096, description="a whole number, 1 to 4096")]
MaxGuesses = Annotated[int, Field(ge=1, le=1000, description="a whole number, 1 to 1000")]
# Apple's platforms refuse a leaf valid for more than 825 days, from private CAs too (support.apple.com/103769).
LeafDays = Annotated[int, Field(ge=1, le=825, description="a whole number of days, 1 to 825")]
RenewBefore = Annotated[
    Annotated[int, Field(ge=1, le=824)] | None,
    Field(description="None or a whole number of days, 1 to 824, less than registry_leaf_days"),
]
CaDays = Annotated[int, Field(ge=1, le=36500, description="a whole number of days, 1 to 36500")]
OverlapDays = Annotated[int, Field(ge=1, le=365, description="a whole number of days, 1 to 365")]
GraceDays = Annotated[int, Field(ge=0, le=365, description="a whole number of days, 0 to 365")]
DateOrNone = Annotated[
    Annotated[str, AfterValidator(_date)] | None,
    Field(description="None or a date such as 2026-03-01"),
]
TimerInterval = Annotated[
    Literal["daily", "weekly", "monthly"], Field(description='"daily", "weekly" or "monthly"')
]

BackupKeep = Annotated[
    dict[str, int],
    AfterValidator(_kept_backups),
    Field(
        description='a dict of how many backups to keep by "daily", "weekly" and "monthly", each 1 to 1000',
    ),
]
BackupDays = Annotated[int, Field(ge=1, le=365, description="a whole number of days, 1 to 365")]
Repository = Annotated[
    Annotated[str, matching(rf"{_COMPONENT}(?:/{_COMPONENT})*", 255)] | None,
    Field(description="None or the name of a repository, such as apps/web"),
]
BACKUP_NAME = r"\d{4}-\d\d-\d\d-\d{6}"
"""How a backup is called: when it was begun, in UTC."""

RestoreFrom = Annotated[
    Annotated[str, matching(rf"(?:(?:@?[A-Za-z0-9][A-Za-z0-9._/@-]*:)?(?:latest|{BACKUP_NAME})|/.*)", 1000)]
    | None,
    AfterValidator(lambda text: _path(text) if text and text.startswith("/") else text),
    Field(
        description="None, latest, a backup's name such as 2026-03-01-120000, either of them as HOST:NAME, or a "
        f"folder of the registry host as an absolute path ({_CHARACTERS})"
    ),
]
