"""What is put into a cluster: pull secrets, the CA beside each of them, and word of where the registry is."""

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

KEYS = (KEY, CA_KEY, HOSTING_KEY)
"""What we write in the data of an object. Other keys in it are others' own (server-side apply), and stay."""

Kind = Literal["Secret", "ConfigMap", "ServiceAccount"]


@dataclass(frozen=True)
class Ref:
    """An object by kind, namespace and name."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True)
class ExistingObject:
    """A secret or a ConfigMap that is there; of its data only a digest of our `KEYS`, and that only where it is ours.

    `managed_by` is its label, `managers` are those that wrote its fields, `made` is when.
    """

    type: str
    managed_by: str
    made: str
    managers: tuple[str, ...]
    digest: str

    @property
    def ours(self) -> bool:
        """Whether we made it; our label tells."""
        return self.managed_by == MANAGER

    @property
    def whose(self) -> str:
        """Whose it looks like, in a few words."""
        by = f" by {', '.join(self.managers)}" if self.managers else ""
        label = f", {MANAGED_BY}={self.managed_by}" if self.managed_by else ""
        return f"made {self.made[:10]}{by}{label}"


@dataclass(frozen=True)
class Content:
    """A secret's or a ConfigMap's content: `data` as the API has it, base64 in a secret."""

    kind: Kind
    name: str
    data: Mapping[str, str] = field(repr=False)
    type: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 that the fact tells of the same data, in hexadecimal."""
        values = self.data.items()
        if self.kind == "ConfigMap":
            values = {key: value.encode().hex() for key, value in values}.items()
        text = "".join(f"{key}={value};" for key, value in sorted(values))
        return hashlib.sha256(text.encode()).hexdigest()

    def differs(self, found: ExistingObject) -> bool:
        """Tell whether what is there is not this."""
        return (found.type, found.digest) != (self.type, self.digest)

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Return the object as it is applied."""
        kind = {"type": self.type} if self.type else {}
        return {
            "apiVersion": "v1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
            **kind,
            "data": dict(self.data),
        }


def pull_secret(settings: Settings, login: Login) -> Content:
    """Return the pull secret: the login for each name of the registry."""
    auths = {name: {"auth": login.auth} for name in settings.endpoints}
    text = json.dumps({"auths": auths})
    return Content(
        "Secret", settings.registry_pull_secret_name, {KEY: b64encode(text.encode()).decode()}, TYPE
    )


def without_secrets(text: str, settings: Settings, login: Login) -> str:
    """Return a cluster's words without what is secret in a pull secret: a policy may quote what it refuses."""
    whole = pull_secret(settings, login).data[KEY]
    for secret in (whole, b64decode(whole).decode(), login.auth, login.password):
        text = text.replace(secret, "(not shown)")
    return text


def ca(pem: str) -> Content:
    """Return the CA as builders in the cluster can mount it."""
    return Content("ConfigMap", CA_NAME, {CA_KEY: pem})


def hosting(settings: Settings) -> Content:
    """Return word of where the registry is, for tools that look for one (KEP-1755)."""
    host = json.dumps(settings.endpoint)  # a JSON string is a YAML one
    link = json.dumps(f"https://{settings.endpoint}")
    text = f"host: {host}\nhostFromContainerRuntime: {host}\nhelp: {link}\n"
    return Content("ConfigMap", HOSTING, {HOSTING_KEY: text})


def document(items: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as one document for kubectl's standard input."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
