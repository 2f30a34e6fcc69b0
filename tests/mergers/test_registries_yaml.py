"""Our entry in `registries.yaml`, however that is written."""

from __future__ import annotations

import re
from typing import Any

import yaml
from hypothesis import assume, given

from tasks.accounts.logins import Login
from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.runtimes import registries_mirrors, registries_yaml
from tasks.remote.steps import Conflict
from tasks.settings.caches import Upstream
from tests.mergers import shapes, yaml_texts
from tests.mergers.outcome import only_added, outcome

NAME, CA = "registry.example:5443", "/etc/rancher/k3s/ca.crt"
LOGIN = Login("cluster", "p\"w\\ é: #'")
MIRROR = "mirror.example:5443"
CACHES = Mirror(
    MIRROR, [Upstream(name=name, registry=f"https://{name}") for name in ("docker.io", "quay.io")]
)
FORMER = Mirror("former.example", CACHES.upstreams[1:])
TEXTS = yaml_texts.files(NAME, CA)


def said(text: str) -> Any:
    """Return the first document, every scalar as it is written."""
    loader = yaml.CBaseLoader(text.removeprefix("\ufeff"))
    try:
        return loader.get_data() or {}
    finally:
        loader.dispose()


def merge(text: str, login: Login | None = None) -> str:
    return registries_yaml.merge(text, [NAME], CA, login, "/r.yaml")


def with_entry(before: Any, **wanted: Any) -> Any:
    """Return what a file says, with sections of our entry replaced."""
    configs = before.get("configs") or {}
    configs = {} if isinstance(configs, str) else configs
    entry = configs.get(NAME) or {}
    entry = {} if isinstance(entry, str) else entry
    return {**before, "configs": {**configs, NAME: {**entry, **wanted}}}


@shapes.examples(shapes.REGISTRIES_YAML)
@given(text=TEXTS)
def test_our_entry_is_added_and_nothing_else_changes(soak: bool, text: str) -> None:
    try:
        before = said(text)
    except yaml.YAMLError:
        assume(False)
    after = outcome(merge, text)
    if isinstance(after, Conflict):
        assert after.problem.startswith("/r.yaml line ")
        assert "{" in text or "&" in text or "!" in text
        return
    entry = (
        ((before.get("configs") or {}).get(NAME) or {}) if not isinstance(before.get("configs"), str) else {}
    )
    tls = entry.get("tls") if isinstance(entry, dict) else None
    assert said(after) == with_entry(before, tls={**(tls if isinstance(tls, dict) else {}), "ca_file": CA})
    assert only_added(text, after)
    assert merge(after) == after
    logged_in = outcome(merge, text, LOGIN)
    if isinstance(logged_in, Conflict):
        assert "login of its own" in logged_in.problem or "{" in text
        return
    assert said(logged_in) == with_entry(
        said(after), auth={"username": LOGIN.account, "password": LOGIN.password}
    )
    assert merge(logged_in, LOGIN) == logged_in == merge(after, LOGIN)
    if logged_in != after:
        assert only_added(after, logged_in)
        assert merge(merge(logged_in), LOGIN) == logged_in
        assert merge(merge(logged_in, Login("ci", "x")), LOGIN) == logged_in


def cached(text: str, used: Mirror | None = CACHES) -> str:
    return registries_mirrors.merge(text, used, CA, "/r.yaml")


def section(says: Any, name: str) -> Any:
    found = says.get(name)
    return found if isinstance(found, dict) else {}


def without_nothing(text: str) -> str:
    """Return a text without what says nothing after a key, and with an end of its last line."""
    return re.sub(r":[ \t]*(?:~|[Nn]ull|\{\s*\}|\[\s*\])?[ \t]*", ":", text).rstrip("\r\n")


@shapes.examples(shapes.REGISTRIES_YAML)
@given(text=TEXTS)
def test_caches_are_added_and_taken_back_and_nothing_else_changes(soak: bool, text: str) -> None:
    try:
        before = said(text)
    except yaml.YAMLError:
        assume(False)
    after = outcome(cached, text)
    theirs = section(before, "mirrors")
    if isinstance(after, Conflict):
        assert after.problem.startswith("/r.yaml line ")
        assert {"docker.io", "*"} & set(theirs) or set("{&![") & set(text)
        return
    ours = {name: {"endpoint": [f"https://{MIRROR}"]} for name in CACHES.names}
    entry = {MIRROR: {"tls": {"ca_file": CA}}}
    assert said(after) == {
        **before,
        "mirrors": {**theirs, **ours},
        "configs": {**section(before, "configs"), **entry},
    }
    assert cached(after) == after
    assert without_nothing(cached(after, None)) == without_nothing(text)
    assert said(cached(cached(text, FORMER))) == said(after)
    assert cached(text, None) == text
