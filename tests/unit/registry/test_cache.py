"""The pull-through caches: their name."""

from __future__ import annotations

import pytest

from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.clients.plan import steps as client_steps
from tasks.registry import cache
from tasks.registry.context import RegistryContext
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings


def settings(**values: object) -> Settings:
    return Settings.model_validate({"registry_caches": ["docker.io"], **values})


@pytest.mark.parametrize(
    ("values", "name", "endpoint"),
    [
        ({}, "mirror.homelab.local", "mirror.homelab.local"),
        ({"registry_port": 5443}, "mirror.homelab.local", "mirror.homelab.local:5443"),
        ({"registry_cache_name": "pull.example.com"}, "pull.example.com", "pull.example.com"),
        ({"registry_hostname": "me.duckdns.org"}, "mirror.me.duckdns.org", "mirror.me.duckdns.org"),
    ],
    ids=str,
)
def test_the_caches_have_a_name_that_the_ca_permits(
    values: dict[str, object], name: str, endpoint: str
) -> None:
    assert (cache.name(settings(**values)), cache.endpoint(settings(**values))) == (name, endpoint)


def test_without_caches_there_is_no_name() -> None:
    assert cache.name(Settings(registry_cache_name="pull.example.com")) is None
    with pytest.raises(LookupError):
        cache.endpoint(Settings())


@pytest.mark.parametrize(
    "values",
    [
        {"registry_hostname": "mirror.homelab.local"},
        {"registry_extra_names": ["mirror.homelab.local"]},
        {"registry_caches": [{"name": "mirror.homelab.local", "registry": "https://x.example.com"}]},
        {"registry_caches": [{"name": "x.example.com", "registry": "https://mirror.homelab.local"}]},
    ],
    ids=["the registry's", "an extra one's", "an upstream's", "an upstream's host"],
)
def test_a_name_with_another_meaning_is_a_conflict(values: dict[str, object]) -> None:
    with pytest.raises(Conflict, match=r"^the caches' name mirror[.]homelab[.]local has another meaning"):
        cache.check_name(settings(**values))
    cache.check_name(settings(**values, registry_cache_name="pull.homelab.local"))


def test_the_name_is_in_the_certificate_and_the_hosts_file_and_no_login_endpoint() -> None:
    given = settings()
    assert RegistryContext(address="192.0.2.10").server_names(given) == [
        "registry.homelab.local",
        "mirror.homelab.local",
        "192.0.2.10",
    ]
    [step] = client_steps(given, "PEM", "192.0.2.10", None, ClientHost(hosts=HostsFile()))
    assert "mirror.homelab.local" in (step.stdin or "")
    assert given.endpoints == ("registry.homelab.local",)
