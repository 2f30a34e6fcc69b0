"""The settings: what is refused with which message, what is accepted, and which place overrides which."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tasks.run.context import ROOT
from tasks.settings import redact
from tasks.settings.caches import KNOWN, Upstream
from tasks.settings.load import (
    Configuration,
    HostSettings,
    Settings,
    SettingsError,
    Sources,
    configure,
    default_state_dir,
)
from tests.unit.settings.bad_inventories import GOOD, HOMELAB, INVENTORIES, Bad, set_to

INVENTORIES_FOLDER = ROOT / "inventories"
MODELS: tuple[type[BaseModel], ...] = (Settings, HostSettings)
SECRET = "hunter2-hunter2"
OWN = {
    "name": "lan.example.com",
    "registry": "http://192.168.1.7:5000",
    "token": "https://auth.example.com/token?service=lan",
}
"""A registry that has no entry of its own among those that are known by name."""


def problems(sources: Sources) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        configure(sources)
    return refused.value.problems


def configured(value: Mapping[str, Any]) -> Configuration:
    return configure(set_to(value))


# What is refused.


@pytest.mark.parametrize("bad", INVENTORIES, ids=lambda bad: bad.name)
def test_a_mistake_is_reported_in_one_line(bad: Bad) -> None:
    [line] = problems(bad.sources)
    assert re.match(rf"{bad.key}(\[[^]]*\])* (= .* )?\(", line, re.DOTALL), line
    assert bad.where in line
    assert bad.allowed in line.partition(bad.where)[2]
    assert line.isprintable()
    assert line.isascii()


def test_the_bad_inventories_cover_every_key() -> None:
    names = [bad.name for bad in INVENTORIES]
    assert len(set(names)) == len(names) >= 60
    covered = {bad.key for bad in INVENTORIES}
    assert {key for model in MODELS for key in model.model_fields} <= covered


def test_all_mistakes_are_reported_at_once() -> None:
    found = problems(
        Sources(
            inventory="inventories/homelab.py",
            top_level={"registry_port": 5443},
            groups={"registry": ["nas", "pi"], "docker_host": ["box"]},
            inline_group_data={"registry": {"registry_runtime": None}},
            group_data={
                "all": {"registry_ca_days": 300, "registry_hostname": "registry"},
                "homelab": {"registry_leaf_days": 301, "registry_extra_names": ["a", "b.local", "c"]},
                "docker_hosts": {"registry_delete_enabled": True},
            },
            host_data={"nas": {"registry_login_users": "me", "registry_zzz": 1}, "pi": {"registry_port": 7}},
            override={"registry_accounts": {"admin": "root", "C:I": "push"}},
        )
    )
    subjects = sorted(re.split(r" = | \(", line)[0] for line in found)
    assert subjects == sorted(
        [
            "registry",
            "docker_host",
            "registry_port",  # in the inventory
            "registry_runtime",
            "registry_delete_enabled",
            "registry_hostname",
            "registry_extra_names[0]",
            "registry_extra_names[2]",
            "registry_login_users",
            "registry_zzz",
            "registry_accounts['admin']",
            "registry_accounts['C:...']",
            "registry_port",  # on one host only
            "registry_leaf_days",  # longer than the CA, reported although other keys are wrong
        ]
    )


def test_a_relation_to_a_bad_value_is_not_reported() -> None:
    accounts = {"registry_login_account": "me", "registry_pull_secret_account": "me"}
    [line] = problems(set_to({**accounts, "registry_accounts": {"me": "root"}}))
    assert line.startswith("registry_accounts['me'] = (not shown, it may be a password) ")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("/etc/docker: it is missing", "/etc/docker: it is missing"),
        ("é 日本 \\x1b 'a' \"b\"", "é 日本 \\x1b 'a' \"b\""),
        ("\x1b[2K\x1b]0;x\x07", r"\x1b[2K\x1b]0;x\x07"),
        ("a\r\n\tb\0\x7f\x9b", r"a\r\n\tb\x00\x7f\x9b"),
        ("\u202e\u2028\u200b\u00a0", r"\u202e\u2028\u200b\xa0"),
        ("\udcff\ud800", r"\udcff\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, printed: str) -> None:
    assert redact.printable(text) == printed


def test_values_are_shown() -> None:
    lists = set_to({"registry_extra_names": ["a.local", "a.local"], "registry_image": "a:b:c"})
    assert [line.partition(" (")[0] for line in problems(lists)] == [
        "registry_extra_names = ['a.local', 'a.local']",
        "registry_image = 'a:b:c'",
    ]


def test_the_text_of_the_error_is_its_lines() -> None:
    with pytest.raises(SettingsError, match=r"^registry_port = 0 .*\nregistry_zzz \(--data\): unknown key"):
        configure(replace(GOOD, group_data={"all": {"registry_port": 0}}, override={"registry_zzz": 1}))


EXAMPLES: Mapping[str, Any] = {
    **Settings().model_dump(),
    **HostSettings().model_dump(),
    "registry_address": "192.0.2.10",
    "registry_listen_address": "192.0.2.10",
    "registry_extra_names": ("images.homelab.local",),
    "registry_storage_limit": "500GB",
    "registry_rotate_account": "ci",
    "registry_excused_hosts": ("nas",),
    "registry_today": "2026-03-01",
    "registry_timer_program": "/usr/local/bin/tell-me",
    "registry_backup_folder": "/mnt/usb/backup",
    "registry_backup_program": "/usr/local/bin/back-up",
    "registry_backup_recipients": "/root/backup.keys",
    "registry_restore": "nas:latest",
    "registry_restore_repository": "apps/web",
    "registry_cache_clear": "docker.io/library/alpine:3",
    "registry_kubeconfig": "/root/.kube/config",
    "registry_kube_context": "kubernetes-admin@home",
    "registry_login_users": {"alice": "ci"},
    "registry_runtime": ("k3s",),
    "registry_retention": ({"repositories": "ci/*", "tags": "pr-*", "keep_last": 5, "keep_days": 14},),
    "registry_caches": (
        {
            "name": "docker.io",
            "registry": "https://hub.example.com:5000",
            "token": "https://auth.example.com/token?service=hub.example.com",
        },
    ),
    "registry_cache_limit": "500GB",
    "registry_cache_keep_free": "100GB",
    "registry_cache_name": "mirror.homelab.local",
    "registry_cache_accounts": {"docker.io": "me+ci@example.com"},
}
"""A value for each key, of a type other than None if there is one."""

NOT_TEXT = (bool, int)

INJECTIONS = (
    "{{ 7*7 }}", "{{7*7}}", "{% include '/etc/passwd' %}", "{# x #}", "${HOME}", "$HOME", "$(id)", "`id`", "; id",
    "| id", "&& id", "> x", "'", '"', "\\", "\n", "\r", "\0", "\t", " ", "\x1b[2J", "\u2028", "\u202e", "#", "*x",
    "?", "!", "%s", "{", "}", "<", "é", "\ud800",
)  # fmt: skip


def test_examples_are_accepted() -> None:
    assert set(EXAMPLES) == {key for model in MODELS for key in model.model_fields}
    configured({key: value for key, value in EXAMPLES.items() if value is not None})


def injected(value: Any, injection: str) -> list[Any]:
    """Return `value` with the injection in place of, before, after and within each of its strings."""
    if isinstance(value, str):
        middle = len(value) // 2
        return [injection, injection + value, value + injection, value[:middle] + injection + value[middle:]]
    if isinstance(value, tuple):
        return [[*value[1:], text] for text in injected(value[0], injection)]
    name, text = next(iter(value.items()))
    keys = [{**value, each: text} for each in injected(name, injection)]
    texts = {name: text for name, text in value.items() if not isinstance(text, NOT_TEXT)}
    return keys + [
        {**value, name: each} for name, text in texts.items() for each in injected(text, injection)
    ]


TEXTS = [key for key, value in EXAMPLES.items() if not isinstance(value, NOT_TEXT) and value is not None]


def test_only_numbers_and_switches_get_no_injection() -> None:
    kinds = {*NOT_TEXT, type(None)}
    assert {type(EXAMPLES[key]) for key in EXAMPLES if key not in TEXTS} <= kinds
    assert [key for key in EXAMPLES if EXAMPLES[key] is None] == ["registry_renew_before_days"]


PATTERNS = {("registry_retention", each) for each in ("*x", "?")}
"""What is part of a pattern there."""


@pytest.mark.parametrize(
    ("key", "injection"),
    [(key, each) for key in TEXTS for each in INJECTIONS if (key, each) not in PATTERNS],
    ids=ascii,
)
def test_no_string_accepts_an_injection(key: str, injection: str) -> None:
    for value in injected(EXAMPLES[key], injection):
        found = problems(set_to({key: value}))
        assert found, value
        for line in found:
            assert re.match(rf"{key}\b", line)
            assert line.isprintable()
            assert line.isascii()


@pytest.mark.parametrize("key", list(EXAMPLES))
@pytest.mark.parametrize(
    "value",
    [
        object(),
        1.5,
        float("nan"),
        b"x",
        {1, 2},
        {"a": {"b": "c"}},
        [["a"]],
        [None],
        (),
        "",
        "\n",
        -1,
        10**5000,
        type,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_causes_a_traceback(key: str, value: Any) -> None:
    found = [f"{key} is accepted"]
    try:
        configured({key: value})
    except SettingsError as refused:
        found = refused.problems
    assert found
    assert all(line.startswith(key) and line.isprintable() and len(line) < 600 for line in found)


# What is never shown.


@pytest.mark.parametrize(
    "data",
    [
        {"registry_accounts": {"admin": SECRET}},
        {"registry_accounts": {"admin": [SECRET]}},
        {"registry_accounts": {f"admin:{SECRET}": "admin"}},
        {"registry_accounts": f"admin:{SECRET}"},
        {"registry_accounts": [f"admin:{SECRET}"]},
        {"registry_accounts": {"admin": {"role": "admin", "password": SECRET}}},
        {"registry_password": SECRET},
        {"registry_admin_password": SECRET},
        {"registry_hostname": {"password": SECRET}},
        {"registry_hostname": f"https://admin:{SECRET}@registry.homelab.local"},
        {"registry_image": f"admin:{SECRET}@registry.homelab.local/registry:3"},
        {"registry_extra_names": [f"https://admin:{SECRET}@registry.homelab.local"]},
        {"registry_login_account": f"admin:{SECRET}"},
        {"registry_pull_secret_account": f"admin:{SECRET}"},
        {"registry_login_users": [f"alice:{SECRET}"]},
        {"registry_login_users": {"alice": SECRET}},
        {"registry_login_users": {"alice": f"Secret {SECRET}"}},
        {"registry_hostname": f"hlr_{SECRET}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["group_data", "host_data", "override", "top_level", "inline_group_data"])
def test_no_secret_is_shown(data: dict[str, Any], place: str) -> None:
    [key] = data
    if place in {"group_data", "inline_group_data"}:
        given: Any = {"homelab": data}
    else:
        given = {"nas": data} if place == "host_data" else data
    sources = replace(GOOD, **{place: given})
    with pytest.raises(SettingsError) as refused:
        configure(sources)
    assert SECRET not in f"{refused.value!s}{refused.value!r}{refused.value.problems}"
    assert any(key in line for line in refused.value.problems)
    assert refused.value.__cause__ is None


def test_two_values_of_accounts_are_not_shown() -> None:
    accounts = {"admin": "admin", "cluster": "pull"}
    [line] = problems(replace(GOOD, host_data={"nas": {"registry_accounts": accounts}}))
    assert "(not shown, it may be a password)" in line
    assert "cluster" not in line


def test_errors_of_the_model_show_no_input() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"registry_accounts": {"admin": SECRET}})
    assert SECRET not in str(refused.value)


def test_a_long_value_is_cut() -> None:
    [line] = problems(set_to({"registry_hostname": "a" * 10_000}))
    assert len(line) < 250


# What is accepted.


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("registry_hostname", "registry.example.com", None),
        ("registry_hostname", "xn--bcher-kva.example", None),
        ("registry_hostname", "a" * 63 + ".local", None),
        ("registry_hostname", ".".join(["a" * 62] * 4) + ".a", None),
        ("registry_hostname", "1.2.3.a", None),
        ("registry_port", 1, None),
        ("registry_port", 65535, None),
        ("registry_address", None, None),
        ("registry_address", "10.0.0.5", None),
        ("registry_address", "203.0.113.7", None),
        ("registry_address", "FD00:0:0::5", "fd00::5"),
        ("registry_extra_names", [], ()),
        ("registry_extra_names", ["nas.local", "FD00:0::1"], ("nas.local", "fd00::1")),
        ("registry_extra_names", ("nas.local",), ("nas.local",)),
        ("registry_state_dir", "state", None),
        ("registry_state_dir", ".state/home-lab_1", None),
        ("registry_state_dir", "/root/state", None),
        ("registry_state_dir", "/tmp/pytest-of-root/pytest-0/x0", None),
        ("registry_storage_path", "/data", None),
        ("registry_storage_path", "/mnt/tank/registry+images@1", None),
        ("registry_storage_path", "/home/alice/images", None),
        ("registry_storage_path", "/etcetera", None),
        ("registry_storage_limit", None, None),
        ("registry_storage_limit", "30GB", None),
        ("registry_storage_limit", "500 GiB", "500GiB"),
        ("registry_storage_limit", "0.001MB", None),
        ("registry_storage_limit", "1.5TB", None),
        ("registry_storage_limit", "2PiB", None),
        ("registry_storage_warn", 1, None),
        ("registry_storage_warn", 100, None),
        ("registry_image", "nginx", None),
        ("registry_image", "localhost:5000/a/b__c:v1.2_3-x", None),
        ("registry_image", "ghcr.io/distribution/distribution@sha256:" + "0" * 64, None),
        ("registry_image", "Registry.Example.com:443/x:1@sha256:" + "a" * 64, None),
        ("registry_image", "[fd00::1]:5000/x", None),
        ("registry_accounts", {"cluster": "pull", "a": "push", "a.b-c_d": "admin", "a" * 64: "pull"}, None),
        ("registry_leaf_days", 1, None),
        ("registry_leaf_days", 825, None),
        ("registry_ca_days", 397, None),
        ("registry_ca_days", 36500, None),
        ("registry_ca_overlap_days", 1, None),
        ("registry_ca_overlap_days", 365, None),
        ("registry_password_grace_days", 365, None),
        ("registry_rotate_account", "ci", None),
        ("registry_excused_hosts", "nas,@docker/attic", ("nas", "@docker/attic")),
        ("registry_excused_hosts", ["10.0.0.7"], ("10.0.0.7",)),
        ("registry_runtime", ["podman"], ("podman",)),
        ("registry_renew_before_days", 396, None),
        ("registry_login_account", "ci", None),
        ("registry_password_grace_days", 0, None),
        ("registry_pull_secret_namespaces", ["*"], ("*",)),
        ("registry_pull_secret_namespaces", [], ()),
        ("registry_pull_secret_namespaces", ["1", "kube-system", "a" * 63], ("1", "kube-system", "a" * 63)),
        ("registry_pull_secret_name", "regcred.v2", None),
        ("registry_pull_secret_name", "a" * 253, None),
        ("registry_patch_service_accounts", [], ()),
        ("registry_patch_service_accounts", ["default", "ci.bot"], ("default", "ci.bot")),
        ("registry_kubeconfig", "/etc/rancher/k3s/k3s.yaml", None),
        ("registry_login_users", [], {}),
        ("registry_login_users", ["a", "b"], {"a": None, "b": None}),
        ("registry_login_users", {"deploy": "ci", "alice": "cluster"}, None),
        ("registry_kube_context", "arn:aws:eks:eu-1:1:cluster/home", None),
        ("registry_caches", [], ()),
        ("registry_caches", list(KNOWN), tuple(Upstream(name=x, registry=url) for x, url in KNOWN.items())),
        ("registry_caches", [OWN], (Upstream(**OWN),)),
        (
            "registry_caches",
            ["quay.io", OWN],
            (Upstream(name="quay.io", registry="https://quay.io"), Upstream(**OWN)),
        ),
        ("registry_cache_limit", "20 GB", "20GB"),
        ("registry_cache_keep_free", "1GiB", None),
        ("registry_cache_path", "/mnt/tank/cache", None),
        ("registry_cache_name", None, None),
        ("registry_cache_name", "pull.homelab.local", None),
        ("registry_cache_tag_seconds", 86400, None),
        ("registry_cache_networks", ["192.168.1.0/24", "FD00:0::/64"], ("192.168.1.0/24", "fd00::/64")),
        ("registry_cache_networks", ["0.0.0.0/0", "::/0"], ("0.0.0.0/0", "::/0")),
        ("registry_use_caches", False, None),
    ],
)
def test_a_good_value_is_accepted(key: str, value: Any, accepted: Any) -> None:
    found = configured({key: value})
    where = found.settings if key in Settings.model_fields else found.hosts["pi"]
    assert getattr(where, key) == (value if accepted is None else accepted)


def test_days_at_their_bounds_are_accepted() -> None:
    shortest = {"registry_leaf_days": 2, "registry_renew_before_days": 1, "registry_ca_days": 2}
    longest = {"registry_leaf_days": 825, "registry_renew_before_days": 824, "registry_ca_days": 825}
    assert configured(shortest).settings.renew_before_days == 1
    assert configured(longest).settings.renew_before_days == 824
    assert configured({"registry_leaf_days": 1, "registry_ca_days": 1}).settings.registry_ca_days == 1


def test_one_account_is_enough() -> None:
    accounts = {"registry_login_account": "me", "registry_pull_secret_account": "me"}
    assert configured({**accounts, "registry_accounts": {"me": "admin"}}).settings.registry_accounts == {
        "me": "admin"
    }


@pytest.mark.parametrize("login", ["me", "me+ci@example.com", "robot_1.x-y"])
def test_an_account_of_a_cache_is_accepted(login: str) -> None:
    found = configured({"registry_caches": ["docker.io"], "registry_cache_accounts": {"docker.io": login}})
    assert found.settings.registry_cache_accounts == {"docker.io": login}


@pytest.mark.parametrize(
    "caches",
    [
        [{"name": "images.homelab.local", "registry": "https://x.example.com"}],
        [{"name": "x.example.com", "registry": "http://images.homelab.local:5000"}],
    ],
    ids=["by its name", "by its URL"],
)
def test_an_extra_name_of_ours_has_no_cache(caches: list[Any]) -> None:
    [line] = problems(set_to({"registry_extra_names": ["images.homelab.local"], "registry_caches": caches}))
    assert line.startswith(f"registry_caches = [{caches[0]['name']}] ")
    assert "must be registries other than those in registry_extra_names" in line


def test_read_only_mappings_and_other_keys_are_accepted() -> None:
    own = {
        "ssh_port": 22,
        "registry": 1,
        "my_registry_port": 0,
        "port": 22,
        "hostname": "nas",
        "leaf_days": 1,
    }
    data = MappingProxyType({**own, "registry_port": 5443})
    sources = replace(GOOD, group_data={"all": data}, top_level={"helper": 1, "_registry_port": 1})
    assert configure(sources).settings.registry_port == 5443


# Which place overrides which.


def test_a_later_place_overrides_an_earlier_one() -> None:
    hosts = ["nas", "pi", "k3s"]
    weakest = replace(GOOD, group_data={"all": {"registry_port": 1}}, host_data={})
    weak = replace(weakest, group_data={"homelab": {"registry_port": 2}, "all": {"registry_port": 1}})
    strong = replace(weak, host_data={host: {"registry_port": 3} for host in hosts})
    strongest = replace(strong, override={"registry_port": 4})
    for port, sources in enumerate([weakest, weak, strong, strongest], 1):
        assert configure(sources).settings.registry_port == port


def test_two_values_are_fine_if_a_later_place_overrides_both() -> None:
    sources = replace(GOOD, host_data={"nas": {"registry_port": 1}}, override={"registry_port": 2})
    assert configure(sources).settings.registry_port == 2


def test_the_only_host_may_have_run_wide_keys_in_its_data() -> None:
    sources = replace(GOOD, groups={"registry": ["nas"]}, host_data={"nas": {"registry_port": 5443}})
    assert configure(sources).settings.registry_port == 5443


def test_equal_values_are_not_two_values() -> None:
    data = {"registry_extra_names": ("FD00::1",)}
    sources = replace(
        GOOD, host_data={"nas": data}, group_data={"homelab": {"registry_extra_names": ["fd00::1"]}}
    )
    assert configure(sources).settings.registry_extra_names == ("fd00::1",)


def test_hosts_have_settings_of_their_own() -> None:
    found = configure(
        replace(
            GOOD,
            group_data={"all": {"registry_system_trust": True}},
            host_data={
                "nas": {"registry_login_users": ["alice"]},
                "k3s": {"registry_runtime": ["k3s", "podman"]},
            },
        )
    )
    assert found.registry_host == "nas"
    assert found.hosts == {
        "nas": HostSettings(registry_login_users={"alice": None}, registry_system_trust=True),
        "pi": HostSettings(registry_system_trust=True),
        "k3s": HostSettings(registry_runtime=("k3s", "podman"), registry_system_trust=True),
    }


def test_users_without_an_account_of_their_own_have_the_login_account() -> None:
    users = {"nas": {"registry_login_users": {"deploy": "ci", "me": "cluster"}}}
    found = configure(
        replace(
            GOOD,
            group_data={
                "all": {},
                "homelab": {"registry_login_users": ["op"], "registry_login_account": "admin"},
            },
            host_data=users,
        )
    )
    assert found.hosts["nas"].login_accounts(found.settings) == {"deploy": "ci", "me": "cluster"}
    assert found.hosts["pi"].login_accounts(found.settings) == {"op": "admin"}


def test_an_account_that_does_not_exist_is_reported_with_key_host_and_file_once() -> None:
    wrong = {"registry_login_users": {"deploy": "builder"}}
    sources = replace(GOOD, group_data={"all": {}, "homelab": wrong}, host_data={"pi": wrong})
    allowed = "must be one of registry_accounts = ['admin', 'ci', 'cluster'] (the default)"
    subject = "registry_login_users['deploy'] = (not shown, it may be a password)"
    assert problems(sources) == [
        f"{subject} ({HOMELAB}): {allowed}",
        f"{subject} (inventories/homelab.py, host pi): {allowed}",
    ]


@pytest.mark.parametrize(
    "groups",
    [
        {"registry": ["nas"]},
        {"registry": ["nas", "nas"]},
        {"registry": ["nas"], "docker_hosts": [], "cluster_nodes": [], "cluster_control": []},
        {"registry": ["nas"], "docker_hosts": ["a", "b"], "docker_hosts2": ["b"], "workers": ["a"]},
        {"registry": ["nas"], "homelab": ["nas"], "registry_x": []},
    ],
    ids=[
        "registry alone",
        "twice the same",
        "empty ones",
        "groups of the user's own",
        "groups that pyinfra adds",
    ],
)
def test_groups_that_are_accepted(groups: dict[str, list[str]]) -> None:
    sources = replace(GOOD, groups=groups, group_data={"all": {}, "registry_x": {}}, host_data={})
    assert configure(sources).registry_host == "nas"


def test_a_group_with_the_inventorys_name_is_from_pyinfra() -> None:
    for stem in ("registry_home", "docker_host"):
        sources = replace(GOOD, inventory=f"x/{stem}.py", groups={**GOOD.groups, stem: ["nas", "pi", "k3s"]})
        assert configure(sources).settings.registry_state_dir == f"state/{stem}"


def test_group_data_of_other_inventories_is_ignored() -> None:
    sources = replace(GOOD, group_data={"local": {"registry_port": 0, "registry_state_dir": "x"}})
    assert len(problems(replace(sources, other_inventories=[]))) == 2
    for others in (["local"], None):
        found = configure(replace(sources, other_inventories=others))
        assert (found.settings.registry_port, found.settings.registry_state_dir) == (443, "state/homelab")


def test_if_other_inventories_are_unknown_the_groups_decide() -> None:
    groups = {**GOOD.groups, "workers": ["pi"], "local": []}
    data: Mapping[str, Any] = {"registry_node_login": True}
    for misplaced in ("workers", "cluster_control"):
        [line] = problems(replace(GOOD, groups=groups, group_data={misplaced: data, "local": data}))
        assert f"(inventories/group_data/{misplaced}.py)" in line


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        ({}, "state/homelab"),
        ({"registry_state_dir": None}, "state/homelab"),
        ({"registry_state_dir": "s"}, "s"),
    ],
)
def test_each_inventory_has_a_state_folder_of_its_own(data: dict[str, Any], folder: str) -> None:
    assert default_state_dir("homelab") == "state/homelab"
    assert configured(data).settings.registry_state_dir == folder


def test_an_odd_inventory_name_is_fine_with_a_state_folder_set() -> None:
    sources = replace(GOOD, inventory="my lab.py", override={"registry_state_dir": "state/lab"})
    assert configure(sources).settings.registry_state_dir == "state/lab"


# What is derived from the settings.


@pytest.mark.parametrize(
    ("port", "endpoints"),
    [
        (443, ("registry.homelab.local", "nas.local", "192.0.2.10", "[fd00::1]")),
        (
            5443,
            ("registry.homelab.local:5443", "nas.local:5443", "192.0.2.10:5443", "[fd00::1]:5443"),
        ),
    ],
)
def test_endpoints(port: int, endpoints: tuple[str, ...]) -> None:
    settings = Settings(registry_port=port, registry_extra_names=("nas.local", "192.0.2.10", "fd00::1"))
    assert settings.server_names == ("registry.homelab.local", "nas.local", "192.0.2.10", "fd00::1")
    assert settings.endpoints == endpoints
    assert settings.endpoint == endpoints[0]


@pytest.mark.parametrize(
    ("leaf", "given", "days"), [(397, None, 132), (2, None, 1), (1, None, 1), (397, 30, 30)]
)
def test_renewal(leaf: int, given: int | None, days: int) -> None:
    assert Settings(registry_leaf_days=leaf, registry_renew_before_days=given).renew_before_days == days


def test_the_model_checks_the_relations() -> None:
    with pytest.raises(ValueError, match="registry_leaf_days: must be at most registry_ca_days"):
        Settings(registry_ca_days=100)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().registry_port = 1


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_valid(model: type[BaseModel]) -> None:
    assert model.model_validate(model().model_dump()) == model()


# The inventories in the repository.


def test_all_py_lists_every_key_with_its_default_and_meaning() -> None:
    file = INVENTORIES_FOLDER / "group_data" / "all.py"
    listed = {key: value for key, value in runpy.run_path(str(file)).items() if not key.startswith("__")}
    state_dir = listed.pop("registry_state_dir")
    assert state_dir is None  # depends on the inventory's name
    defaults = {**Settings().model_dump(), **HostSettings().model_dump()}
    del defaults["registry_state_dir"]
    assert listed == {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()
    }
    keys = [*Settings.model_fields, *HostSettings.model_fields]
    assert re.findall(r"^# .+\n(\w+) = ", file.read_text(), re.MULTILINE) == keys


@pytest.mark.parametrize("stem", ["local", "homelab"])
def test_the_inventories_in_the_repository_are_valid(stem: str) -> None:
    def plain(file: Path) -> dict[str, Any]:
        return {key: value for key, value in runpy.run_path(str(file)).items() if not key.startswith("_")}

    groups, host_data = {}, {}
    for group, hosts in plain(INVENTORIES_FOLDER / f"{stem}.py").items():
        groups[group] = [host if isinstance(host, str) else host[0] for host in hosts]
        host_data.update({host[0]: host[1] for host in hosts if not isinstance(host, str)})
    found = configure(
        Sources(
            inventory=f"inventories/{stem}.py",
            top_level={},
            groups=groups,
            inline_group_data={},
            group_data={file.stem: plain(file) for file in (INVENTORIES_FOLDER / "group_data").glob("*.py")},
            host_data=host_data,
            override={},
            other_inventories=[file.stem for file in INVENTORIES_FOLDER.glob("*.py")],
        )
    )
    assert found.registry_host == {"local": "@local", "homelab": "nas"}[stem]
    assert found.settings.registry_state_dir == f"state/{stem}"


def test_a_mistake_names_the_file_of_group_data() -> None:
    assert problems(set_to({"registry_port": 0})) == [
        f"registry_port = 0 ({HOMELAB}): must be a port, 1 to 65535"
    ]
