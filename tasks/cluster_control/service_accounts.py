"""The pull secret in the `imagePullSecrets` of service accounts, which belong to others.

That list is atomic: server-side apply can only replace it as a whole (kubernetes.io, "Server-Side Apply", merge
strategy). So the list is read, our entry is added or removed, and the whole list is applied with the version that was
read: if somebody has written it since, the API server refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OWN_ENTRY = "homelab-registry/pull-secret"
"""A label `added` on accounts with an entry of ours, and an annotation with its name, which may not fit a label."""


@dataclass(frozen=True)
class ServiceAccount:
    """A service account in the cluster: the entries of its list, and which of them is our `own` (empty: none)."""

    version: str
    secrets: tuple[str, ...]
    own: str = ""


def with_entry(found: ServiceAccount, secret: str) -> ServiceAccount | None:
    """Return the account with the secret in its list, or None if there is nothing to change.

    An entry of that name that somebody else added stays theirs, and is good enough.
    """
    if secret in found.secrets and found.own in ("", secret):
        return None
    kept = tuple(each for each in found.secrets if each not in {found.own or secret, secret})
    return ServiceAccount(found.version, (*kept, secret), secret)


def without_entry(found: ServiceAccount) -> ServiceAccount | None:
    """Return the account without our entry, or None if it has none."""
    if not found.own:
        return None
    return ServiceAccount(found.version, tuple(each for each in found.secrets if each != found.own))


def manifest(account: ServiceAccount, namespace: str, name: str) -> dict[str, Any]:
    """Return the account to apply. Fields that are left out are removed if only we had set them."""
    metadata = (
        {"labels": {OWN_ENTRY: "added"}, "annotations": {OWN_ENTRY: account.own}} if account.own else {}
    )
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": account.version, **metadata},
        "imagePullSecrets": [{"name": each} for each in account.secrets],
    }
