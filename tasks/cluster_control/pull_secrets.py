"""The objects that we write: pull secrets, a ConfigMap with the CA beside each, and one that announces the registry."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.accounts.logins import Login
from tasks.cluster_control.kubectl import MANAGER
from tasks.settings.load import Settings

MANAGED_BY = "app.kubernetes.io/managed-by"
TYPE = "kubernetes.io/dockerconfigjson"
KEY = ".dockerconfigjson"
CA_NAME = "homelab-registry-ca"
CA_KEY = "ca.crt"
HOSTING = "local-registry-hosting"
HOSTING_KEY = "localRegistryHosting.v1"
HOSTING_NAMESPACE = "kube-public"
"""KEP-1755, "Communicating a local registry"."""

KEYS = (KEY, CA_KEY, HOSTING_KEY, "username", "password", "homelab-registry.json")
"""The keys that we write in an object's data. Other keys belong to others (server-side apply) and stay."""

Kind = Literal["Secret", "ConfigMap", "ServiceAccount", "ScrapeConfig", "PrometheusRule"]


@dataclass(frozen=True)
class Ref:
    """An object by kind, namespace and name."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True)
class ExistingObject:
    """A secret or ConfigMap in the cluster. `digest` is that of our `KEYS` in it, empty if the object is not ours.

    `managed_by` is its label, `managers` are the field managers that wrote it, `created` is an RFC 3339 time.
    """

    type: str
    managed_by: str
    created: str
    managers: tuple[str, ...]
    digest: str

    @property
    def ours(self) -> bool:
        """Whether it has our label."""
        return self.managed_by == MANAGER

    @property
    def origin(self) -> str:
        """When and by whom it was created, in a few words."""
        by = f" by {', '.join(self.managers)}" if self.managers else ""
        label = f", {MANAGED_BY}={self.managed_by}" if self.managed_by else ""
        return f"created {self.created[:10]}{by}{label}"


@dataclass(frozen=True)
class Content:
    """The content of a secret or ConfigMap, with further `labels`; `data` is as in the API, so base64 in a secret."""

    kind: Kind
    name: str
    data: Mapping[str, str] = field(repr=False)
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The SHA-256 of the data in hexadecimal, computed as the fact computes it."""
        values = self.data.items()
        if self.kind == "ConfigMap":
            values = {key: value.encode().hex() for key, value in values}.items()
        text = "".join(f"{key}={value};" for key, value in sorted(values))
        return hashlib.sha256(text.encode()).hexdigest()

    def differs(self, found: ExistingObject) -> bool:
        """Return whether the object in the cluster has another content or type."""
        return (found.type, found.digest) != (self.type, self.digest)

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Return the object to apply."""
        kind = {"type": self.type} if self.type else {}
        return {
            "apiVersion": "v1",
            "kind": self.kind,
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "labels": {MANAGED_BY: MANAGER, **self.labels},
            },
            **kind,
            "data": dict(self.data),
        }


def pull_secret(settings: Settings, login: Login) -> Content:
    """Return the pull secret, with the login for each name of the registry."""
    auths = {name: {"auth": login.auth} for name in settings.endpoints}
    text = json.dumps({"auths": auths})
    return Content(
        "Secret", settings.registry_pull_secret_name, {KEY: b64encode(text.encode()).decode()}, TYPE
    )


def without_secrets(text: str, settings: Settings, login: Login, *others: str) -> str:
    """Return a message of the cluster without the secrets, and without `others`: a policy may quote what it refuses."""
    whole = pull_secret(settings, login).data[KEY]
    for secret in (whole, b64decode(whole).decode(), login.auth, login.password, *others):
        text = text.replace(secret, "(not shown)")
    return text


def ca(pem: str) -> Content:
    """Return the ConfigMap with the CA, which builders in the cluster can mount."""
    return Content("ConfigMap", CA_NAME, {CA_KEY: pem})


def hosting(settings: Settings) -> Content:
    """Return the ConfigMap that tells tools in the cluster where the registry is (KEP-1755)."""
    host = json.dumps(settings.endpoint)  # a JSON string is a YAML one
    link = json.dumps(f"https://{settings.endpoint}")
    text = f"host: {host}\nhostFromContainerRuntime: {host}\nhelp: {link}\n"
    return Content("ConfigMap", HOSTING, {HOSTING_KEY: text})


def document(items: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as one JSON document for kubectl's standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
