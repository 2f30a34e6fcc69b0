"""The pull-through caches: under which name clients ask them."""

from __future__ import annotations

from tasks.certificates.name_constraints import permitted_domain
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings


def name(settings: Settings) -> str | None:
    """Return the name under which runtimes ask the caches; None if there are none.

    By default it is in the domain that the CA permits, so that the certificate can have it without a new CA.
    """
    if not settings.registry_caches:
        return None
    return settings.registry_cache_name or f"mirror.{permitted_domain(settings.registry_hostname)}"


def endpoint(settings: Settings) -> str:
    """Return that name, with the port if it is not HTTPS's default; `LookupError` if there are no caches."""
    if (server := name(settings)) is None:
        raise LookupError("registry_caches is empty")
    return server if settings.registry_port == 443 else f"{server}:{settings.registry_port}"


def check_name(settings: Settings) -> None:
    """Raise `Conflict` if the name is the registry's own, or that of a registry in the internet."""
    server = name(settings)
    if server in settings.server_names or any(
        each.has_name(server or "") for each in settings.registry_caches
    ):
        raise Conflict(
            f"the caches' name {server} has another meaning in these settings",
            "set registry_cache_name to a name of their own, and run again",
        )
