"""What the registry host should have: files, flag files for the gateway, and its containers."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import basename

from tasks.accounts import passwords
from tasks.registry import cache, containers, keeper, leaf, metrics, storage, web
from tasks.registry.containers import FORMER_UID, UID, Container
from tasks.registry.storage import MARK, Record
from tasks.remote import files
from tasks.remote.files import File, Folder, Observed
from tasks.remote.templates import environment
from tasks.settings.listen import ALL_IPV4
from tasks.settings.load import Settings
from tasks.storage import trash

FOLDER = "/etc/homelab-registry"
"""Our folder on the registry host. The paths below are relative to it."""

CUSTOM_PASSWORDS = "gateway/typed"
"""A folder with a flag file for each account whose password a person chose. The gateway looks there at each request."""

TWO_PASSWORDS = "gateway/two-passwords"
"""A flag file: an account has a former password beside its present one, and the gateway tries both."""

FOLDERS = ("gateway", leaf.FOLDER, CUSTOM_PASSWORDS, "registry", "run")
GATEWAY_CONFIG = "gateway/nginx.conf"
REGISTRY_CONFIG = "registry/config.yml"
HTPASSWD = "registry/htpasswd"
SOCKET = "run/registry.sock"
"""The link to the socket of the registry in service. A script keeps it, since it changes only with the container."""

STORAGE_RECORD = "storage"
"""Where the images are, and the id in their mark. It is on this host's own disk, where no mount of theirs is."""


@dataclass(frozen=True)
class Secrets:
    """What only the two containers may read. `certificate_pem` is public, but shares a file with its key.

    `authorization` is the header of a login of one account, to ask a new registry for what is stored.
    """

    htpasswd: str = field(repr=False)
    http_secret: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    key_pem: str = field(repr=False)
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True)
class Desired:
    """All that the registry host should have.

    `files` are all but those of the web `page` and the `leaf`, which is served once a link names it.
    `unwanted_flags` are the paths of flag files that should not be there, with the reason. `certificate` is what a
    handshake should show: the leaf in PEM, then its chain. `cache_path` is the folder of the caches, also if there are
    none. `authorization` is a header that the registry accepts.
    """

    files: tuple[Folder, ...]
    page: tuple[File, ...]
    leaf: File
    unwanted_flags: Mapping[str, str]
    containers: tuple[Container, ...]
    certificate: str
    port: int
    server_name: str
    cache_path: str
    authorization: str = field(repr=False)


def desire(
    settings: Settings,
    secrets: Secrets,
    images: Mapping[str, str],
    templates: str,
    record: Record,
    user: int = UID,
    listen: str = ALL_IPV4,
    caches: cache.Parts | None = None,
    page: web.Page | None = None,
) -> Desired:
    """Return what the registry host should have.

    `images` gives the image by role (`registry`, which is the keeper's too, `gateway`, `metrics`). `templates` is their
    folder. `record` says where the images are kept from now on, `user` whose they are (`user_of`), `listen` where the
    port is open, `caches` what the caches add, `page` the web page's files.
    """
    folder, port = settings.registry_storage_path, settings.registry_port
    contents = _contents(settings, secrets, templates)
    flags = _wanted_flags(secrets.htpasswd)
    folders = (
        *FOLDERS,
        *(keeper.FOLDERS if keeper.SCRIPT in contents else ()),
        *(web.FOLDERS if page else ()),
    )
    counted = {name: contents[name] for name in (metrics.SCRIPT, metrics.PROGRAM) if name in contents}
    return Desired(
        files=(
            Folder(FOLDER),
            *(
                Folder(f"{FOLDER}/{name}", "0700", user, user)
                for name in (*folders, *([metrics.FOLDER] if counted else []))
            ),
            Folder(folder, "0700", user, user),
            # The mark first: a record without it would say that the images are lost.
            File(f"{folder}/{MARK}", "0600", user, user, storage.mark_text(record.id or "")),
            File(f"{FOLDER}/{STORAGE_RECORD}", "0600", 0, 0, record.text),
            *(
                File(f"{FOLDER}/{name}", "0600", user, user, content)
                for name, content in (contents | flags).items()
            ),
            *(caches.files if caches else ()),
        ),
        page=web.files(FOLDER, page, user) if page else (),
        leaf=leaf.file(FOLDER, secrets.certificate_pem, secrets.key_pem, user),
        unwanted_flags={
            f"{FOLDER}/{name}": why for name, why in _all_flags(settings).items() if name not in flags
        },
        containers=(
            containers.registry(images["registry"], FOLDER, folder, _sha256(contents[REGISTRY_CONFIG]), user),
            *([caches.container] if caches else []),  # before the gateway sends anyone there
            containers.gateway(
                images["gateway"],
                FOLDER,
                folder,
                port,
                _sha256(contents[GATEWAY_CONFIG]),
                user,
                listen,
                start=metrics.START if counted else "",
                shared=[metrics.shared()] if counted else (),
            ),
            *(
                keeper.keeper(images["registry"], FOLDER, folder, _sha256(text), user)
                for name, text in contents.items()
                if name == keeper.SCRIPT
            ),
            *([metrics.container(settings, images["metrics"], FOLDER, counted, user)] if counted else []),
        ),
        certificate=secrets.certificate_pem,
        port=port,
        server_name=settings.registry_hostname,
        cache_path=settings.registry_cache_path,
        authorization=secrets.authorization,
    )


def paths(settings: Settings) -> list[str]:
    """Return all paths of ours on the registry host but the leaves, and beside each file the name it has while it is
    written.
    """
    names = (
        STORAGE_RECORD, leaf.LINK, GATEWAY_CONFIG, REGISTRY_CONFIG, HTPASSWD, keeper.SCRIPT, metrics.SCRIPT,
        metrics.PROGRAM, metrics.OF_RUN, *_all_flags(settings),
    )  # fmt: skip
    names = (*names, *web.paths(), SOCKET)
    written = [f"{settings.registry_storage_path}/{MARK}", *(f"{FOLDER}/{name}" for name in names)]
    own = (*FOLDERS, *keeper.FOLDERS, *web.FOLDERS, metrics.FOLDER)
    folders = [FOLDER, *(f"{FOLDER}/{name}" for name in own), settings.registry_storage_path]
    written += cache.written(settings, FOLDER)
    return [*folders, *cache.looked_at(settings, FOLDER), *written, *map(files.temporary, written)]


def user_of(observed: Observed | None) -> int:
    """Return the user of the containers, given what is at the images' folder: what owned it stays."""
    return FORMER_UID if observed and observed.owner == FORMER_UID else UID


def _contents(settings: Settings, secrets: Secrets, templates: str) -> dict[str, str]:
    """Return the content of each file but the leaf and the flag files."""
    # No setting holds a character that is special in YAML or in nginx's configuration (tasks/settings/types.py).
    render = environment(templates).get_template
    context = {
        "settings": settings,
        "container": containers,
        "http_secret": secrets.http_secret,
        "custom_accounts": f"{containers.GATEWAY_CONFIG}/{basename(CUSTOM_PASSWORDS)}",
        "limit": f"{containers.GATEWAY_CONFIG}/{basename(keeper.LIMIT)}",
        "refusal": keeper.REFUSAL,
        "two_passwords": f"{containers.GATEWAY_CONFIG}/{basename(TWO_PASSWORDS)}",
        "told_absent": f"{containers.STORAGE}/{trash.TOLD}",
        "next_prefix": b64encode(passwords.NEXT.encode()).decode(),
        "decoy": b64encode(f"{passwords.DECOY}:".encode()).decode(),
        "mirror": cache.name(settings),
        "cache_socket": cache.SOCKET,
        "metrics": metrics.names(),
        "page": web.locations(),
    }
    limited = {keeper.SCRIPT: keeper.script(settings, templates)} if settings.storage_limit else {}
    return {
        GATEWAY_CONFIG: render("gateway.conf.j2").render(context),
        REGISTRY_CONFIG: render("registry.yml.j2").render(context),
        HTPASSWD: secrets.htpasswd,
        **limited,
        **metrics.files(settings, templates),
    }


def _wanted_flags(htpasswd: str) -> dict[str, str]:
    """Return the content of each flag file that should be there."""
    custom = passwords.custom_accounts(htpasswd)
    flags = {f"{CUSTOM_PASSWORDS}/{name}": f"{name} has a typed password\n" for name in custom}
    if passwords.has_next_entries(htpasswd):
        flags[TWO_PASSWORDS] = "an account has a former password beside its present one\n"
    return flags


def _all_flags(settings: Settings) -> dict[str, str]:
    """Return every flag file that there may be, with the reason why it is not there."""
    custom = {
        f"{CUSTOM_PASSWORDS}/{name}": "its account's password is a generated one"
        for name in settings.registry_accounts
    }
    return {TWO_PASSWORDS: "no account has a former password", **custom}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
