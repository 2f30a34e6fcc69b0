"""What a setting may be: one type for each kind of name, address, path and number.

Every text is matched as a whole against an allow-list of ASCII characters. So nothing that a template, a shell,
`docker run -v` or nginx's configuration would read as its own (braces, `$`, backticks, quotes, `,`, `;`, spaces,
line breaks, NUL) gets any further. A type's `description` says what is allowed, for the user to read.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""A DNS label: at most 63 octets, letters, digits and inner hyphens (RFC 1123, section 2.1)."""

NGINX_WORDS = frozenset({"default", "hostnames", "include", "volatile"})
"""Words of nginx's `map`, in which the account names stand (ngx_http_map_module)."""

SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr", "/var/run",
)  # fmt: skip
"""Folders in which only the system, the kernel or nobody keeps data (FHS 3.0)."""

SHARED = (
    "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var/tmp",  # noqa: S108
    "/var", "/var/backups", "/var/cache", "/var/lib", "/var/lib/containerd", "/var/lib/docker",
    "/var/lib/kubelet", "/var/local", "/var/log", "/var/mail", "/var/opt", "/var/spool",
)  # fmt: skip
"""Folders that others use as well, while our own are given another owner and mode 0700."""


def _matching(pattern: str, longest: int) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if len(text) > longest or not compiled.fullmatch(text):
            raise ValueError
        return text

    return AfterValidator(check)


def _dns_name(text: str) -> str:
    if len(text) > 253 or not re.fullmatch(rf"{LABEL}(?:\.{LABEL})+", text, re.ASCII):
        raise ValueError
    # A last label of digits makes it an address to many programs (RFC 1123, section 2.1; WHATWG URL).
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", text.rpartition(".")[2]):
        raise ValueError
    # RFC 6761, section 6.3; and the engine checks no certificate there.
    if text.endswith(".localhost") or text == "localhost.localdomain":
        raise ValueError
    return text


def _address(text: str) -> str:
    found = ipaddress.ip_address(text)
    # Reserved takes in IPv4-mapped IPv6 addresses, which would be a loopback's other spelling.
    if (
        found.is_loopback
        or found.is_unspecified
        or found.is_multicast
        or found.is_link_local
        or found.is_reserved
    ):
        raise ValueError
    if found in ipaddress.ip_network("0.0.0.0/8") or "%" in text:
        raise ValueError
    return str(found)


def _dns_name_or_address(text: str) -> str:
    try:
        return _dns_name(text)
    except ValueError:
        return _address(text)


def _account(name: str) -> str:
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


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError
    return path


def _own(path: str) -> str:
    if path in SYSTEM or path in SHARED or re.fullmatch("/home/[^/]+", path):
        raise ValueError
    return path


def _outside_system(path: str) -> str:
    if any(path.startswith(f"{folder}/") for folder in SYSTEM):
        raise ValueError
    return path


def _not_an_id(reference: str) -> str:
    # Docker takes 64 hexadecimal digits for an image's id and refuses them as a name.
    if re.fullmatch("[0-9a-f]{64}", reference.partition("@")[0].partition(":")[0]):
        raise ValueError
    return reference


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _separated(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError
    return values


def _star_alone(values: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in values and values != ("*",):
        raise ValueError
    return values


# Docker takes what stands before the first slash for a registry only if it has a dot or a port, or is localhost
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

_ADDRESSES = "no loopback, unspecified, multicast, link-local or reserved one"
_CHARACTERS = "letters, digits and . _ + @ -, no .. and no / at its end"
_ACCOUNT = (
    "lower-case letters, digits and inner . _ -, no .., at most 64 characters, not "
    f"{', '.join(sorted(NGINX_WORDS))} (words of nginx)"
)

DnsName = Annotated[
    str,
    AfterValidator(_dns_name),
    Field(description="a lower-case DNS name with a dot in it (RFC 1123), no address, not below localhost"),
]
Address = Annotated[
    Annotated[str, AfterValidator(_address)] | None,
    Field(description=f"None or an IPv4 or IPv6 address, {_ADDRESSES}"),
]
Names = Annotated[
    tuple[Annotated[str, AfterValidator(_dns_name_or_address)], ...],
    BeforeValidator(_listed),
    AfterValidator(_once),
    Field(
        description=f"a list of lower-case DNS names with a dot in them and of addresses ({_ADDRESSES}), each once"
    ),
]
Port = Annotated[int, Field(ge=1, le=65535, description="a port, 1 to 65535")]
Switch = Annotated[bool, Field(description="True or False")]

StateFolder = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_own),
    Field(
        description=f"a folder below the project, or an absolute path that is no system folder: {_CHARACTERS}"
    ),
]
StorageFolder = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_absolute),
    AfterValidator(_own),
    AfterValidator(_outside_system),
    Field(description=f"an absolute path to a folder of its own, no system folder: {_CHARACTERS}"),
]
File = Annotated[
    Annotated[str, AfterValidator(_path), AfterValidator(_absolute)] | None,
    Field(description=f"None or an absolute path: {_CHARACTERS}"),
]

ImageSource = Annotated[Literal["debian", "pull"], Field(description='"debian" or "pull"')]
Image = Annotated[
    str,
    _matching(_IMAGE, 500),
    AfterValidator(_not_an_id),
    Field(description="an image reference, registry/name[:tag][@sha256:digest]"),
]

Role = Literal["pull", "push", "admin"]
Account = Annotated[
    str,
    _matching("[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", 64),
    AfterValidator(_account),
    Field(description=f"the name of an account: {_ACCOUNT}"),
]
Accounts = Annotated[
    dict[Account, Role],
    Field(
        min_length=1,
        description=f"at least one name: role; roles are pull, push, admin; names are {_ACCOUNT}",
    ),
]
Users = Annotated[
    tuple[Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_.-]{0,31}", 32)], ...],
    BeforeValidator(_listed),
    AfterValidator(_once),
    Field(description="a list of system users (useradd(8)), each once"),
]

Namespaces = Annotated[
    tuple[Annotated[str, _matching(rf"\*|{LABEL}", 63)], ...],
    BeforeValidator(_listed),
    AfterValidator(_once),
    AfterValidator(_star_alone),
    Field(description='a list of namespaces (RFC 1123 labels), each once, or ["*"]'),
]
ObjectName = Annotated[
    str,
    _matching(_SUBDOMAIN, 253),
    Field(description="the name of a Kubernetes object: an RFC 1123 subdomain of at most 253 characters"),
]
ObjectNames = Annotated[
    tuple[Annotated[str, _matching(_SUBDOMAIN, 253)], ...],
    BeforeValidator(_listed),
    AfterValidator(_once),
    Field(description="a list of names of Kubernetes objects (RFC 1123 subdomains), each once"),
]
KubeContext = Annotated[
    Annotated[str, _matching("[A-Za-z0-9_][A-Za-z0-9._:/@+=-]*", 253)] | None,
    Field(description="None or the name of a context: letters, digits and . _ : / @ + = -"),
]
HostNames = Annotated[
    tuple[Annotated[str, _matching("@?[A-Za-z0-9][A-Za-z0-9._:/@-]*", 253)], ...],
    BeforeValidator(_separated),
    BeforeValidator(_listed),
    AfterValidator(_once),
    Field(description="hosts as the inventory names them, a list or with commas between them, each once"),
]
AccountOrNone = Annotated[Account | None, Field(description=f"None or the name of an account: {_ACCOUNT}")]
Runtimes = Annotated[
    Annotated[
        tuple[Literal["k3s", "rke2", "containerd", "crio", "podman"], ...],
        BeforeValidator(_listed),
        AfterValidator(_once),
        Field(min_length=1),
    ]
    | None,
    Field(description="None or a list of k3s, rke2, containerd, crio, podman, each once"),
]

# Apple's platforms refuse a leaf of more than 825 days, of private authorities too (support.apple.com/103769).
MaxRequests = Annotated[int, Field(ge=1, le=4096, description="a whole number, 1 to 4096")]
MaxGuesses = Annotated[int, Field(ge=1, le=1000, description="a whole number, 1 to 1000")]
LeafDays = Annotated[int, Field(ge=1, le=825, description="whole days, 1 to 825")]
RenewBefore = Annotated[
    Annotated[int, Field(ge=1, le=824)] | None,
    Field(description="None or whole days, 1 to 824, less than registry_leaf_days"),
]
CaDays = Annotated[int, Field(ge=1, le=36500, description="whole days, 1 to 36500")]
OverlapDays = Annotated[int, Field(ge=1, le=365, description="whole days, 1 to 365")]
GraceDays = Annotated[int, Field(ge=0, le=365, description="whole days, 0 to 365")]
TimerInterval = Annotated[
    Literal["daily", "weekly", "monthly"], Field(description='"daily", "weekly" or "monthly"')
]
