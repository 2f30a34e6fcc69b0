"""The pull-through caches: a container that answers for registries in the internet, and keeps what they sent.

nginx serves what is kept, and a few functions in JavaScript (njs) ask the registries (`templates/cache`). It has a
network of its own, out of which it reaches the internet, and neither the images nor the passwords of the registry.
"""

from __future__ import annotations

import hashlib
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import basename, dirname

from tasks.certificates.name_constraints import permitted_domain
from tasks.registry import containers
from tasks.registry.containers import FORMER, NEXT, UID, Container, Mount
from tasks.remote.files import File, Folder, Observed
from tasks.remote.steps import Conflict
from tasks.remote.templates import environment
from tasks.settings import sizes
from tasks.settings.load import Settings

NAME = "homelab-registry-cache"
"""The container, and the network that it is in."""

NAMES = (NAME, NAME + NEXT, NAME + FORMER)
"""The names under which there may be one, the one that lasts first."""

FOLDER, LOGINS, RUN = "cache", "cache/logins", "run/cache"
"""In our folder on the registry host: the configuration, the logins at registries in the internet, and the sockets."""

LINK = f"{RUN}/cache.sock"
"""The link to the socket of the container in service. The gateway follows it."""

TEXTS = ("nginx.conf", "answers.js", "blobs.js", "client.js", "manifests.js", "upstream.js", "check.sh")
CONFIG = "/etc/cache"
STORAGE = "/var/cache/registry"
SOCKETS = f"{containers.SOCKETS}/cache"
SOCKET = f"{SOCKETS}/{basename(LINK)}"
TRUST = "/etc/cache-trust"
"""Folders inside the container. The sockets are in the gateway's folder of sockets, and it alone has all of that."""

MARK = ".homelab-registry-cache"
"""A file in the folder of the caches: without it nothing there is ours, and nothing is deleted."""

BUNDLES = (
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # update-ca-trust(8)
    "/etc/ssl/certs/ca-certificates.crt",  # update-ca-certificates(8)
    "/etc/ssl/ca-bundle.pem",  # SUSE
)
"""Where distributions keep the CAs that the system trusts, in one file; the first that is there counts."""

PIECE = 4 * 2**20
"""Bytes of a piece in which blobs come and are kept: a second client waits for the first piece, not for all.

nginx has them look twice a second (ngx_http_file_cache.c): a line of 20 MB/s has brought two by then.
"""

START = f"""
rm -f "$SOCKET" && echo "listen unix:$SOCKET;" > /tmp/listen.conf && mkdir -p /tmp/places || exit 1
set -- {SOCKETS}/[ab].sock
[ -e "$1" ] || find {STORAGE}/images {STORAGE}/tags -name '*.??????????' -exec rm -f {{}} + 2>/dev/null
sh {CONFIG}/check.sh &
exec nginx -c {CONFIG}/nginx.conf
"""
"""What the container runs. A power failure leaves a socket behind, and nginx would not listen on it again; and what was
being written, which nginx does not remove. Unless another container writes there, that goes."""


class Cache(Container):
    """Reads scripts at its start, besides its configuration."""

    @property
    def read_at_start(self) -> tuple[str, ...]:
        """Paths on the host."""
        return tuple(f"{dirname(self.config)}/{text}" for text in TEXTS)


@dataclass(frozen=True)
class Parts:
    """What the registry host has for the caches. `logins` are secret."""

    files: tuple[Folder, ...] = field(repr=False)
    container: Container


def name(settings: Settings) -> str | None:
    """Return the name under which runtimes ask the caches; None if there are none.

    By default it is in the domain that the CA permits, so that the certificate can have it without a new CA.
    """
    if not settings.registry_caches:
        return None
    return settings.registry_cache_name or f"mirror.{permitted_domain(settings.registry_hostname)}"


def server_names(settings: Settings) -> list[str]:
    """Return the names and addresses of the registry, and the name of the caches if there are any."""
    return [*settings.server_names, *filter(None, [name(settings)])]


def endpoint(settings: Settings) -> str:
    """Return the caches' name, with the port if it is not HTTPS's default; `LookupError` if there are no caches."""
    if (server := name(settings)) is None:
        raise LookupError("registry_caches is empty")
    return server if settings.registry_port == 443 else f"{server}:{settings.registry_port}"


def look(settings: Settings) -> str:
    """Return the script that looks for what contradicts the caches; it is empty without them."""
    if not settings.registry_caches:
        return ""
    repositories = f"{settings.registry_storage_path}/docker/registry/v2/repositories"
    roots = [f"{repositories}/{each.name}" for each in settings.registry_caches]
    storage = shlex.quote(settings.registry_cache_path)
    return f"""
find {shlex.join(roots)} -path '*/_manifests/revisions/*' -name link -size +0 2>/dev/null |
    sed 's#/_manifests/.*##; s#^.*/repositories/#shadowed|#' | sort -u | head -n 20
[ -e {storage}/{MARK} ] || ls -A {storage} 2>/dev/null | grep -vx lost+found | head -n 1 | sed 's#^#foreign|#'
"""


def check(settings: Settings, shadowed: Sequence[str], foreign: str | None) -> None:
    """Raise `Conflict` if the caches would take a name or a folder from something else.

    `shadowed` and `foreign` are what `look` found.
    """
    server = name(settings)
    if server in settings.server_names or any(
        each.has_name(server or "") for each in settings.registry_caches
    ):
        raise Conflict(
            f"the caches' name {server} has another meaning in these settings",
            "set registry_cache_name to a name of their own, and run again",
        )
    if shadowed:
        raise Conflict(
            f"the registry has images under names that are the caches' now: {', '.join(shadowed)}",
            "push them under other names and delete these, or take the registries that they are named after out of "
            "registry_caches, and run again",
        )
    if foreign is not None:
        raise Conflict(
            f"the folder of the caches {settings.registry_cache_path} has something else in it: {foreign}",
            "set registry_cache_path to a folder that is empty or missing, and run again",
        )


def bundle(paths: Mapping[str, Observed | None]) -> str:
    """Return the path of the CAs that the host trusts; `Conflict` if there are none."""
    found = next((each for each in BUNDLES if paths[each]), None)
    if found is None:
        raise Conflict(
            "this host has no file of certificate authorities to check registries in the internet by",
            "install the package ca-certificates on it, and run again",
        )
    return found


def parts(
    settings: Settings,
    folder: str,
    templates: str,
    image: str,
    trusted: str,
    secrets: Mapping[str, str],
    own_names: Sequence[str],
    user: int = UID,
) -> Parts:
    """Return what the registry host should have for the caches, in `folder` and in their own.

    `templates` is the folder of templates, `trusted` the path of the CAs (`bundle`), `secrets` the access tokens by the
    name of their upstream, `own_names` are never asked for in the internet.
    """
    texts = _texts(settings, templates, trusted, own_names)
    logins = {
        upstream: f"Basic {b64encode(f'{login}:{secrets[upstream]}'.encode()).decode()}\n"
        for upstream, login in settings.registry_cache_accounts.items()
    }
    storage = settings.registry_cache_path
    return Parts(
        files=(
            *(Folder(f"{folder}/{each}", "0700", user, user) for each in (FOLDER, LOGINS, RUN)),
            Folder(storage, "0700", user, user),
            File(f"{storage}/{MARK}", "0600", user, user, "The pull-through caches of homelab-registry.\n"),
            *(File(f"{folder}/{FOLDER}/{each}", "0600", user, user, text) for each, text in texts.items()),
            *(File(f"{folder}/{LOGINS}/{each}", "0600", user, user, text) for each, text in logins.items()),
        ),
        container=Cache(
            name=NAME,
            image=image,
            command=("sh", "-c", START),
            health_path="/",
            mounts=(
                Mount(f"{folder}/{FOLDER}", CONFIG),
                Mount(f"{folder}/{RUN}", SOCKETS, writable=True),
                Mount(storage, STORAGE, writable=True),
                Mount(dirname(trusted), TRUST),
            ),
            config=f"{folder}/{FOLDER}/nginx.conf",
            config_sha256=hashlib.sha256("".join(texts.values()).encode()).hexdigest(),
            memory=512 * 2**20,
            network=NAME,
            stop_signal="SIGQUIT",
            user=user,
        ),
    )


def looked_at(settings: Settings, folder: str) -> list[str]:
    """Return the paths of what the caches have and read, with what may be left when there are none any more."""
    storage = settings.registry_cache_path
    found = [f"{folder}/{FOLDER}", f"{folder}/{RUN}", storage, f"{storage}/{MARK}"]
    if settings.registry_caches:
        found += [f"{folder}/{LOGINS}", f"{folder}/{LINK}", *BUNDLES, *dict.fromkeys(map(dirname, BUNDLES))]
    return found


def written(settings: Settings, folder: str) -> list[str]:
    """Return the paths of the files that are written in `folder`, ours on the registry host."""
    if not settings.registry_caches:
        return []
    logins = [f"{LOGINS}/{each}" for each in settings.registry_cache_accounts]
    return [f"{folder}/{each}" for each in (*(f"{FOLDER}/{text}" for text in TEXTS), *logins)]


def _texts(settings: Settings, templates: str, trusted: str, own_names: Sequence[str]) -> dict[str, str]:
    """Return the text of each file of the configuration."""
    render = environment(templates).get_template
    limit = sizes.size_in_bytes(settings.registry_cache_limit)
    tags = min(64 * 2**20, limit // 20)
    places = {
        "PIECE": PIECE, "CONFIG": CONFIG, "STORAGE": STORAGE, "LOGINS": f"{CONFIG}/{basename(LOGINS)}",
    }  # fmt: skip
    trust = {"bundle": f"{TRUST}/{basename(trusted)}"}
    configuration = render("cache.conf.j2").render(
        settings=settings,
        container=containers,
        cache=places,
        **trust,
        own_names=own_names,
        images_size=limit - tags,
        tags_size=tags,
        keep_free=sizes.size_in_bytes(settings.registry_cache_keep_free),
    )
    scripts = {each: render(f"cache/{each}").render(cache=places, **trust) for each in TEXTS[1:]}
    return {TEXTS[0]: configuration, **scripts}
