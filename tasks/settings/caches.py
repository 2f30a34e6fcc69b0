"""Which registries have a pull-through cache, and where each of them answers."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tasks.settings import sizes
from tasks.settings.types import LABEL, DnsName, matching, tuple_from_list

HUB = "docker.io"
"""Docker Hub: the registry of images that are named without one."""

KNOWN = {
    HUB: "https://registry-1.docker.io",
    **{
        name: f"https://{name}"
        for name in (
            "gcr.io", "ghcr.io", "lscr.io", "mcr.microsoft.com", "public.ecr.aws", "quay.io", "registry.k8s.io",
        )
    },
}  # fmt: skip
"""Where a registry answers whose name alone is enough. Images of `docker.io` come from another host (Docker's
documentation, "Registry API")."""

ACCOUNT = "[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,126}[A-Za-z0-9])?"
PRIVATE = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598; in homelabs, the addresses of overlay networks
    "fc00::/7", "fe80::/10",  # RFC 4193, RFC 4291
)  # fmt: skip


_HOST = rf"https?://{LABEL}(?:\.{LABEL})*(?::[0-9]{{1,5}})?"


def _port(url: str) -> str:
    if urlsplit(url).port == 0:  # above 65535 it raises ValueError itself
        raise ValueError
    return url


RegistryUrl = Annotated[str, matching(_HOST, 300), AfterValidator(_port)]
TokenUrl = Annotated[
    str,
    matching(rf"{_HOST}(?:/[A-Za-z0-9._~-]+)*/?(?:[?][A-Za-z0-9._~/=&:-]+)?", 500),
    AfterValidator(_port),
]


class Upstream(BaseModel):
    """A registry in the internet. `name` begins the names of its images, `registry` is where it answers.

    `token` is where it gives a token for a pull; None: where it says itself (distribution-spec, "WWW-Authenticate").
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: DnsName
    registry: RegistryUrl
    token: TokenUrl | None = None

    def __str__(self) -> str:
        """Stand for it in messages."""
        return self.name

    def has_name(self, name: str) -> bool:
        """Return whether its images are named after this name, or it answers there."""
        return name in {self.name, urlsplit(self.registry).hostname}


def _upstreams(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    if any(isinstance(each, str) and each not in KNOWN for each in value):
        raise ValueError
    return tuple({"name": each, "registry": KNOWN[each]} if isinstance(each, str) else each for each in value)


def _one_of_a_name(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    if len({each.name for each in upstreams}) < len(upstreams):
        raise ValueError
    return upstreams


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


Caches = Annotated[
    tuple[Upstream, ...],
    BeforeValidator(_upstreams),
    AfterValidator(_one_of_a_name),
    Field(
        description=f"a list of {', '.join(KNOWN)}, or of dicts with "
        '"name" (a DNS name), "registry" (https://HOST or https://HOST:PORT) and maybe "token" (a URL), '
        "without duplicates"
    ),
]
CacheAccounts = Annotated[
    dict[DnsName, Annotated[str, matching(ACCOUNT, 128)]],
    Field(
        description='a dict of a name in registry_caches and a login name there, such as {"docker.io": "me"}'
    ),
]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    BeforeValidator(tuple_from_list),
    Field(
        min_length=1,
        description='a list of networks with the bits of the host at 0, such as "192.168.1.0/24" or "fd00::/64"',
    ),
]
Size = Annotated[
    str,
    AfterValidator(sizes.normalize),
    Field(description='a size above 0 such as "20GB" or "500 GiB"'),
]
Seconds = Annotated[int, Field(ge=1, le=86400, description="a whole number of seconds, 1 to 86400")]

ImageOrNone = Annotated[
    Annotated[
        str,
        matching(
            "[a-z0-9][a-z0-9._-]*(?::[0-9]{1,5})?(?:/[a-z0-9][a-z0-9._-]*)*"
            "(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
            500,
        ),
    ]
    | None,
    Field(description="None or an image as a pull names it, such as docker.io/library/alpine:3"),
]
