"""What K3s and RKE2 generated for their containerd: the CA, the mirrors and the login of a registry."""

from __future__ import annotations

from typing import Any

from tasks.cluster_nodes.runtimes import k3s_templates
from tasks.remote import toml_edit


def names_ca(text: str, ca_file: str) -> bool:
    """Return whether a `hosts.toml` has certificates checked with a CA, be it for one host of several."""
    says = k3s_templates.parsed(text)
    tables = [says, *_hosts(says).values()]
    if any(toml_edit.value_at(table, "skip_verify") for table in tables):
        return False
    return any(_names(table, ca_file) for table in tables)


def mirrors(text: str, ca_file: str) -> list[str]:
    """Return the URLs of the hosts in a `hosts.toml` that are asked, and checked with a CA; without `/v2`."""
    return [
        url.removesuffix("/").removesuffix("/v2")
        for url, table in _hosts(k3s_templates.parsed(text)).items()
        if _names(table, ca_file) and not toml_edit.value_at(table, "skip_verify")
    ]


def auth(config: str, endpoint: str) -> tuple[str, str] | None:
    """Return account and password for a registry in the `config.toml`, None if there are none."""
    plugins = toml_edit.value_at(k3s_templates.parsed(config), "plugins")
    for plugin in plugins.values() if isinstance(plugins, dict) else []:
        found = toml_edit.value_at(plugin, "registry", "configs", endpoint, "auth")
        if isinstance(found, dict):
            return str(found.get("username", "")), str(found.get("password", ""))
    return None


def _hosts(says: dict[str, Any]) -> dict[str, Any]:
    hosts = toml_edit.value_at(says, "host")
    return hosts if isinstance(hosts, dict) else {}


def _names(table: Any, ca_file: str) -> bool:
    named = toml_edit.value_at(table, "ca")
    return ca_file in (named if isinstance(named, list) else [named])
