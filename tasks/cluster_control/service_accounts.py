"""The pull secret in the `imagePullSecrets` of service accounts, which belong to others.

That list is atomic: server-side apply knows only the whole of it (kubernetes.io, "Server-Side Apply", merge strategy).
So it is read, ours is added or taken out, and the whole is applied together with the version that was read: where
somebody wrote in between, the API server refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MARK = "homelab-registry/pull-secret"
"""A label `added` on accounts with an entry of ours, and an annotation with its name, which may exceed a label."""


@dataclass(frozen=True)
class ServiceAccount:
    """An account that is there: the entries of its list, and which one of them is `ours` (empty: none is)."""

    version: str
    secrets: tuple[str, ...]
    ours: str = ""


def with_entry(found: ServiceAccount, secret: str) -> ServiceAccount | None:
    """Return the account with the secret in its list, or None where nothing is to be done.

    An entry of that name that somebody else put there is theirs, and will do.
    """
    if secret in found.secrets and found.ours in ("", secret):
        return None
    kept = tuple(each for each in found.secrets if each not in {found.ours or secret, secret})
    return ServiceAccount(found.version, (*kept, secret), secret)


def without_entry(found: ServiceAccount) -> ServiceAccount | None:
    """Return the account without our entry and mark, or None where it has neither."""
    if not found.ours:
        return None
    return ServiceAccount(found.version, tuple(each for each in found.secrets if each != found.ours))


def manifest(account: ServiceAccount, namespace: str, name: str) -> dict[str, Any]:
    """Return the account as it is applied. What is left out is taken away where it was ours alone."""
    marks = {"labels": {MARK: "added"}, "annotations": {MARK: account.ours}} if account.ours else {}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": account.version, **marks},
        "imagePullSecrets": [{"name": each} for each in account.secrets],
    }
